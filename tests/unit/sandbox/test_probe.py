import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from restem.cli import cli
from restem.sandbox import probe, root
from restem.sandbox.limits import SandboxError
from restem.sandbox.probe import WALLS, findings, require_walls

SOURCE = Path(root.__file__).parents[2]
ORDINARY = 12345


def test_every_wall_stands(walls):
    for finding in findings():
        assert finding.holds, finding


def test_the_command_shows_every_wall(walls):
    done = CliRunner().invoke(cli, ["sandbox", "check"])
    assert done.exit_code == 0, done.output
    assert done.output.count("holds ") == len(WALLS) + 1


@pytest.mark.skipif(os.getuid() != 0, reason="this is an ordinary user already")
def test_every_wall_stands_for_an_ordinary_user(walls):
    python = "/usr/bin/python3.11"
    if not Path(python).exists():
        python = os.path.realpath(sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(SOURCE / "restem/sandbox", Path(folder) / "restem/sandbox")
        for name in ("__init__.py", "errors.py"):
            shutil.copy(SOURCE / "restem" / name, Path(folder) / "restem" / name)
        code = "from restem.sandbox import probe; raise SystemExit(not probe.print_findings())"
        done = subprocess.run(
            [python, "-c", code],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            user=ORDINARY,
            group=ORDINARY,
            extra_groups=[],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_missing_wall_is_refused_with_what_to_do(walls, monkeypatch):
    require_walls.cache_clear()
    broken = replace(WALLS[2], program="print('through')")
    monkeypatch.setattr(probe, "WALLS", (WALLS[0], broken))
    with pytest.raises(SandboxError, match="no user namespace") as caught:
        require_walls()
    assert "sysctl" in caught.value.fix
    require_walls.cache_clear()


def test_a_missing_bubblewrap_is_refused_with_what_to_install(monkeypatch):
    require_walls.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxError, match="bubblewrap is missing") as caught:
        require_walls()
    assert "install bubblewrap" in caught.value.fix
    require_walls.cache_clear()


def test_a_sandbox_that_does_not_start_is_refused(monkeypatch, tmp_path):
    require_walls.cache_clear()
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SandboxError, match="setting up uid map") as caught:
        require_walls()
    assert "administrator" in caught.value.fix
    require_walls.cache_clear()


@pytest.mark.parametrize("files", [40, 64])
def test_few_open_files_are_enough_for_all_walls(files: int) -> None:
    command = f"ulimit -n {files}; exec {sys.executable} -m restem.cli sandbox check"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("all walls hold\n"), done.stdout + done.stderr
