"""A job that starts warm does, prints and returns what it would have done cold, and sees no other.

The command line is a stand-in that runs the Python code that it is given, so that each test is one
job or a few; client and warm process are the real ones.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import restem.warm
from restem.warm.client import since

CLI = "import sys\ndef main():\n    exec(sys.argv[2], {'__name__': 'job'})\n"
SERVER = "import os; print(os.getppid())"


class Jobs:
    """A folder with client, server and the stand-in, and the run's folder of warm processes."""

    def __init__(self, root: Path) -> None:
        self.package, self.folder, self.root = root / "lib/restem", root / "warm", root
        shutil.copytree(Path(restem.warm.__path__[0]), self.package / "warm")
        (self.package / "__init__.py").touch()
        (self.package / "cli.py").write_text(CLI)
        server = self.package / "warm/server.py"
        server.write_text(server.read_text().replace('"model": MODEL', '"none": ()'))
        self.folder.mkdir()
        self.owner = subprocess.Popen(["sleep", "1000"])
        owner = {"process": self.owner.pid, "since": since(self.owner.pid)}
        about = {"owner": owner, "stages": {"work": "none", "other": "none"}}
        (self.folder / "run.json").write_text(json.dumps(about))
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("COV")},
            "PYTHONPATH": str(root / "lib"),
            "RESTEM_WARM": str(self.folder),
        }

    def start(self, code: str, *, command: str = "work", **options: Any) -> "subprocess.Popen[str]":
        start = "from restem.warm.client import main; main()"
        options = {"env": self.environment, "stdout": subprocess.PIPE} | options
        return subprocess.Popen(
            [sys.executable, "-c", start, command, code],
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, code: str, **options: Any) -> tuple[int, str, str]:
        process = self.start(code, **options)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    def cold(self, code: str) -> tuple[int, str, str]:
        return self.run(code, env={**self.environment, "RESTEM_WARM": "no"})

    def server(self, **options: Any) -> int:
        return int(self.run(SERVER, **options)[1])


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    started = Jobs(tmp_path)
    yield started
    started.owner.kill()
    started.owner.wait()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    "code",
    [
        "print('done')",
        "import sys; print('half', end=''); print('error', file=sys.stderr); sys.exit(3)",
        "raise SystemExit('no')",
        "raise SystemExit(True)",
        "import sys; sys.exit()",
        "raise KeyboardInterrupt",
        "import os; os.kill(os.getpid(), 9)",
        "import os; os.write(1, b'raw'); os._exit(7)",
        "import atexit; atexit.register(print, 'last'); print('first')",
        "import threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()",
        "import sys; print(repr(sys.stdin.read()))",
        "import os, sys; print(sys.argv[1:], os.getcwd(), sys.path, os.umask(0), __name__)",
        "import os; print(sorted((k, v) for k, v in os.environ.items() if k != 'RESTEM_WARM'))",
        "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))",
        "import sys; sys.stdout.reconfigure(encoding='utf8'); print('ä', sys.stderr.errors)",
        "import subprocess; subprocess.run(['sh', '-c', 'echo child; exit 4'])",
        "import signal; print(signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGCHLD))",
    ],
)
def test_a_warm_job_does_what_a_cold_one_does(jobs: Jobs, code: str) -> None:
    given = {"stdin": subprocess.DEVNULL, "umask": 0o027, "cwd": jobs.root}
    cold = jobs.run(code, **given, env={**jobs.environment, "RESTEM_WARM": "no"})
    warm = jobs.run(code, **given)
    assert list(jobs.folder.glob("none-*"))
    assert warm[:2] == cold[:2]
    assert warm[2].splitlines()[-1:] == cold[2].splitlines()[-1:]  # frames of a traceback differ


def test_an_error_has_its_traceback(jobs: Jobs) -> None:
    code, _, errors = jobs.run("def f():\n    1 / 0\nf()")
    assert code == 1
    assert "in f" in errors and errors.endswith("ZeroDivisionError: division by zero\n")


def test_jobs_are_forks_of_one_process(jobs: Jobs) -> None:
    assert jobs.server() == jobs.server() != os.getpid()


def test_a_job_sees_nothing_of_another(jobs: Jobs) -> None:
    jobs.run(
        "import os, sys, json, random, signal; os.environ['LEFT'] = '1'; json.left = 1\n"
        "sys.modules['left'] = json; random.seed(0); os.chdir('/'); os.umask(0o777)\n"
        "open('/dev/null'); signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    )
    code = "import os, sys, json, signal\n"
    code += "print(os.environ.get('LEFT'), 'left' in sys.modules, hasattr(json, 'left'))\n"
    code += "print(os.getcwd(), signal.getsignal(signal.SIGTERM))\n"
    assert jobs.run(code) == jobs.cold(code)
    numbers = {jobs.run("import random; print(random.random())")[1] for _ in range(3)}
    assert len(numbers) == 3


def test_open_files_of_a_job_are_its_own(jobs: Jobs) -> None:
    jobs.run(SERVER)
    slow = jobs.start("import sys; sys.stdin.read()", stdin=subprocess.PIPE)
    code = "import os; names = os.listdir('/proc/self/fd')\n"
    code += "print([n for n in names if int(n) > 2 and os.path.exists(f'/proc/self/fd/{n}')])"
    assert jobs.run(code) == jobs.cold(code)
    slow.communicate("")


@pytest.mark.parametrize("changed", ["variable", "limit", "nice"])
def test_other_surroundings_have_another_process(jobs: Jobs, changed: str) -> None:
    first = jobs.server()
    before = {
        "variable": "True",
        "limit": "__import__('resource').setrlimit(6, (1000, 1000))",
        "nice": "__import__('os').nice(1)",
    }[changed]
    environment = dict(jobs.environment)
    if changed == "variable":
        environment["OMP_NUM_THREADS"] = "7"
    start = f"{before}; from restem.warm.client import main; main()"
    command = [sys.executable, "-c", start, "work", SERVER]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(shown.stdout) != first


def test_what_bash_counts_is_no_difference(jobs: Jobs) -> None:
    first = jobs.server()
    assert jobs.server(env={**jobs.environment, "SHLVL": "7", "_": "/bin/other"}) == first


def test_code_that_was_edited_is_read_anew(jobs: Jobs) -> None:
    server = jobs.server()
    (jobs.package / "cli.py").write_text(CLI.replace("exec(", "print('edited'); exec("))
    assert jobs.run(SERVER)[1] == f"edited\n{server}\n"


def test_the_end_of_a_job_closes_its_pipe(jobs: Jobs) -> None:
    with jobs.start("print('out')") as process:
        assert process.stdout is not None
        assert process.stdout.read() == "out\n"  # and not only when the warm process ends


def test_sigterm_reaches_the_job_once(jobs: Jobs) -> None:
    code = "import signal, sys, time\nseen = []\n"
    code += "signal.signal(signal.SIGTERM, lambda *_: seen.append(1))\nprint('up', flush=True)\n"
    code += "while not seen: time.sleep(0.01)\ntime.sleep(0.3); print(seen); sys.exit(143)"
    with jobs.start(code, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout.read() == "[1]\n"
    assert process.returncode == 143


def test_a_signal_that_comes_early_is_not_lost(jobs: Jobs) -> None:
    server = jobs.package / "warm/server.py"
    slow = server.read_text().replace("child = os.fork()", "child = time.sleep(2) or os.fork()")
    server.write_text(slow.replace("import types", "import time\nimport types"))
    code = "import time; print('up', flush=True); time.sleep(1000)"
    with jobs.start(code, start_new_session=True) as process:
        wait_for(lambda: bool(list(jobs.folder.glob("none-*"))))
        time.sleep(1)  # the client waits for the fork
        process.terminate()
    assert process.returncode == -signal.SIGTERM


def test_a_job_ends_with_its_client(jobs: Jobs) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(1000)"
    with jobs.start(code) as process:
        assert process.stdout is not None
        job = int(process.stdout.readline())
        process.kill()
        wait_for(lambda: not is_alive(job))
    assert jobs.run("print('next')")[1] == "next\n"


def test_a_warm_process_ends_with_its_run_but_not_before_its_jobs(jobs: Jobs) -> None:
    server = jobs.server()
    code = "import sys; print('up', flush=True); sys.stdin.read(); print('whole')"
    with jobs.start(code, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "up\n"
        jobs.owner.kill()
        jobs.owner.wait()
        time.sleep(1.5)
        assert is_alive(server)
        process.stdin.close()
        assert process.stdout.read() == "whole\n"
    assert process.returncode == 0
    wait_for(lambda: not is_alive(server))
    assert not jobs.folder.exists()


def test_a_warm_process_ends_when_its_folder_is_gone(jobs: Jobs) -> None:
    server = jobs.server()
    shutil.rmtree(jobs.folder)
    wait_for(lambda: not is_alive(server))


def test_a_warm_process_that_dies_is_an_error_of_its_jobs_only(jobs: Jobs) -> None:
    server = jobs.server()
    with jobs.start("import time; print('up', flush=True); time.sleep(1000)") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        os.kill(server, signal.SIGKILL)
        assert "warm process of this run has ended" in process.stderr.read()
    assert process.returncode == 1
    assert jobs.server() not in (server, os.getpid())


@pytest.mark.parametrize("trouble", ["gone", "torn", "no-server", "enough", "long"])
def test_without_a_warm_process_a_job_starts_cold(jobs: Jobs, trouble: str) -> None:
    environment = dict(jobs.environment)
    if trouble == "gone":
        shutil.rmtree(jobs.folder)
    elif trouble == "torn":
        (jobs.folder / "run.json").write_text('{"ow')
    elif trouble == "no-server":
        (jobs.package / "warm/server.py").unlink()
    elif trouble == "enough":
        for number in range(4):
            (jobs.folder / f"none-{number}").touch()
    else:
        folder = jobs.root / ("x" * 100)
        shutil.move(jobs.folder, folder)
        environment["RESTEM_WARM"] = str(folder)
    assert jobs.server(env=environment) == os.getpid()


def test_what_is_no_stage_starts_cold(jobs: Jobs) -> None:
    assert jobs.server(command="plan") == os.getpid()
    assert not list(jobs.folder.glob("none-*"))
