"""`make` finds a Python, says what is wrong with one, and leaves nothing half made behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "rm", "cat", "touch", "make", "grep", "sed", "mkdir", "env")

OLD = "#!/bin/sh\necho 3.10\n"
SHIM = '#!/bin/sh\necho "pyenv: $0: command not found" >&2\nexit 127\n'
BARE = '#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\necho 3.12\n'
BROKEN = '#!/bin/sh\ncase "$*" in *"-m venv"*) mkdir -p "$3/bin"; exit 1;; esac\necho 3.12\n'


def working(version: str) -> str:
    """Return a stand-in for a Python: it makes an environment that says who made it."""
    python = f"#!/bin/sh\\necho {version}\\n"
    return (
        f'#!/bin/sh\ncase "$*" in *"-m venv"*) mkdir -p "$3/bin"; '
        f'printf \'{python}\' > "$3/bin/python"; chmod +x "$3/bin/python";; '
        f"*) echo {version};; esac\n"
    )


UV = working("uv").replace('*"-m venv"*) mkdir -p "$3/bin"', 'venv*) shift 3; mkdir -p "$3/bin"')


class Machine:
    """A folder with a clone's Makefile, and a PATH that has stand-ins of programs only."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.home = folder / "clone", folder / "bin", folder / "home"
        for path in (self.root / "envs", self.bin, self.home):
            path.mkdir(parents=True)
        for name in ("Makefile", "envs/venv.sh", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root / name)
        for name in (*TOOLS, "chmod", "printf"):
            (self.bin / name).symlink_to(str(shutil.which(name)))

    def add(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def run(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=self.root,
            env={"PATH": str(self.bin), "HOME": str(self.home), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def made_by(self, **environment: str) -> str:
        """Make an environment; return the version of the Python that made it."""
        done = self.run("sh", "envs/venv.sh", ".venv", **environment)
        assert done.returncode == 0, done.stderr
        return (self.root / ".venv/bin/python").read_text().split()[-1]

    def refused(self, **environment: str) -> str:
        """Fail to make an environment; return the message."""
        done = self.run("sh", "envs/venv.sh", ".venv", **environment)
        assert done.returncode == 1
        assert not (self.root / ".venv").exists()
        assert "where: " in done.stderr
        assert "what to do: " in done.stderr
        return done.stderr


@pytest.fixture()
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_python_that_works_is_taken(machine: Machine) -> None:
    machine.add("python3.11", SHIM)
    machine.add("python3.12", working("3.12"))
    machine.add("python3.13", working("3.13"))
    assert machine.made_by() == "3.12"


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_supported_version_will_do(machine: Machine, version: str) -> None:
    machine.add("python3", working(version))
    assert machine.made_by() == version


def test_versions_of_pyenv_are_found_without_a_shim(machine: Machine) -> None:
    machine.add("python3", OLD)
    machine.add(f"{machine.home}/.pyenv/versions/3.13.0/bin/python", working("3.13"))
    assert machine.made_by() == "3.13"


def test_uv_brings_one_where_there_is_none(machine: Machine) -> None:
    machine.add("python3", OLD)
    machine.add("uv", UV)
    assert machine.made_by() == "uv"


def test_a_named_python_is_taken(machine: Machine) -> None:
    machine.add("python3.11", working("3.11"))
    machine.add("mine", working("3.13"))
    assert machine.made_by(PYTHON="mine") == "3.13"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (None, "there is no program mine"),
        (OLD, "mine is Python 3.10"),
        (SHIM, "mine is Python ?"),
        (BARE, "apt install python3.12-venv"),
        (BROKEN, "the environment cannot be made with mine"),
    ],
)
def test_a_wrong_python_is_refused_and_leaves_nothing(
    machine: Machine, program: str | None, expected: str
) -> None:
    machine.add("python3.11", working("3.11"))  # it was not asked for
    if program:
        machine.add("mine", program)
    assert expected in machine.refused(PYTHON="mine")


def test_without_any_python_the_message_says_what_to_do(machine: Machine) -> None:
    assert "restem needs Python 3.11, 3.12 or 3.13, and found none" in machine.refused()
    machine.add("python3.12", BARE)
    assert "apt install python3.12-venv" in machine.refused()


def test_what_an_interrupted_run_left_is_made_again(machine: Machine) -> None:
    machine.add("python3.12", working("3.12"))
    (machine.root / ".venv/bin").mkdir(parents=True)
    (machine.root / ".venv/half").touch()
    assert machine.made_by() == "3.12"
    assert not (machine.root / ".venv/half").exists()
    (machine.root / ".venv/whole").touch()
    assert machine.made_by(PYTHON="nobody") == "3.12"  # one that works is kept
    assert (machine.root / ".venv/whole").exists()


def test_make_hands_the_name_on(machine: Machine) -> None:
    done = machine.run("make", ".venv/run", "PYTHON=python9")
    assert done.returncode == 2
    assert "there is no program python9" in done.stderr
    assert not (machine.root / ".venv").exists()


def test_a_real_environment_can_be_made(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    done = machine.run("sh", "envs/venv.sh", ".venv", PYTHON=os.path.realpath(sys.executable))
    assert done.returncode == 0, done.stderr
    assert (machine.root / ".venv/bin/pip").exists()


def test_without_bubblewrap_the_demo_ends_in_one_calm_line(machine: Machine) -> None:
    venv = machine.root / ".venv/bin"
    check = 'if [ "$*" = "sandbox check" ]; then echo no bwrap >&2; exit 1; fi\n'
    machine.add(str(venv / "restem"), f"#!/bin/sh\n{check}")
    machine.add(str(venv / "snakemake"), "#!/bin/sh\n")
    (machine.root / "results/demo").mkdir(parents=True)
    (machine.root / "results/demo/table.md").write_text("the table\n")
    (machine.root / ".venv/run").touch()
    done = machine.run("make", "demo")
    assert (done.returncode, done.stderr) == (0, "")
    *_, last = done.stdout.splitlines()
    assert last == (
        "skipped: the study of programs, which needs bubblewrap; restem sandbox check says why"
    )


def test_the_environment_of_a_clone_that_was_moved_is_made_again(machine: Machine) -> None:
    machine.add("python3.11", working("3.11"))
    assert "setting up .venv" in machine.run("make", ".venv/run").stdout
    assert "up to date" in machine.run("make", ".venv/run").stdout
    before, machine.root = machine.root, machine.root.rename(machine.root.with_name("moved"))
    (machine.root / ".venv/old").touch()
    assert f"replacing .venv that was made in {before}\n" in machine.run("make", ".venv/run").stdout
    assert not (machine.root / ".venv/old").exists()
    assert "up to date" in machine.run("make", ".venv/run").stdout
    shutil.copytree(machine.root, before)
    machine.root = before
    assert "replacing .venv that was made in" in machine.run("make", ".venv/run").stdout
    machine.root = before.with_name("alias")
    machine.root.symlink_to(before)
    assert "up to date" in machine.run("make", ".venv/run").stdout  # the same folder
