import runpy
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from restem.rewards.code_judge import judge
from restem.rewards.code_spec import Spec
from restem.sandbox.limits import Limits, ProgramError
from restem.sandbox.programs import run_script

HOSTILE = runpy.run_path(str(Path(__file__).with_name("hostile.py")))
FORGERS, RAIDERS, GLUTTONS = (HOSTILE[name] for name in ("FORGERS", "RAIDERS", "GLUTTONS"))
SECRET = "loot-7e1f"
GOOD = "def solve(number): return number * 3 + 0.5"
MAIN = "\nif __name__ == '__main__':\n    print(solve(int(input())))\n"

KINDS = {
    "stdin": Spec(kind="stdin", inputs=["5\n"], expected=["15.5\n"], compare="numbers"),
    "calls": Spec(kind="calls", entry="solve", inputs=[[5]], expected=[15.5], compare="exact"),
    "assertions": Spec(kind="asserts", entry="solve", tests="assert solve(5) == 15.5"),
    "check": Spec(
        kind="asserts",
        entry="solve",
        bind="candidate",
        tests="def check(candidate):\n    assert candidate(5) == 15.5\n",
    ),
    "tolerance": Spec(
        kind="asserts",
        entry="solve",
        bind="candidate",
        tests="def check(candidate):\n    for number in range(5, 7):\n"
        "        assert abs(candidate(number) - (number * 3 + 0.5)) < 1e-6\n",
    ),
}


def outcome(workers, kind, program, limits):
    return judge(workers, KINDS[kind], [program + MAIN], limits, True).outcome


@pytest.fixture
def good_before_and_after(workers):
    """The same worker must grade a good program right before and after each attack."""

    def good():
        for kind in ("stdin", "tolerance"):
            assert outcome(workers, kind, GOOD, Limits()) == "passed"
        assert workers.programs.descendants() == workers.tests.descendants() == 0

    good()
    yield
    good()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FORGERS)
def test_no_forger_is_rewarded(name, kind, workers, limits):
    assert outcome(workers, kind, FORGERS[name], limits) != "passed"


@pytest.mark.parametrize("name", FORGERS)
def test_a_forger_harms_no_one_after_it(name, workers, limits, good_before_and_after):
    outcome(workers, "tolerance", FORGERS[name], limits)
    outcome(workers, "stdin", FORGERS[name], limits)


@pytest.mark.parametrize("name", RAIDERS)
def test_a_raider_finds_nothing(name, worker, limits, tmp_path, monkeypatch, good_before_and_after):
    monkeypatch.setenv("SECRET", SECRET)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    before = sorted(Path(tmp_path).iterdir())
    program = RAIDERS[name].replace("{secret!r}", repr(str(secret)))
    program = program.replace("{{", "{").replace("}}", "}")
    try:
        output = run_script(worker, "", [program], "", limits)
    except ProgramError as problem:
        output = problem.detail.rpartition("\n")[2]
    assert "loot" not in output.replace(str(tmp_path), "")
    assert sorted(Path(tmp_path).iterdir()) == before


@pytest.mark.parametrize("name", GLUTTONS)
def test_a_glutton_is_stopped(name, worker, limits, good_before_and_after):
    program, failures = GLUTTONS[name]
    if "timeout" not in failures:  # it must not run out of time before, on a busy machine
        limits = replace(limits, cpu_seconds=10.0, wall_seconds=60.0)
    with pytest.raises(ProgramError) as caught:
        run_script(worker, "", [program], "", limits)
    assert caught.value.failure in failures, caught.value


def sandbox_mounts() -> list[str]:
    """Return the mounts that may belong to the sandbox; others come and go on a busy machine."""
    lines = Path("/proc/mounts").read_text().splitlines()
    return [
        line for line in lines if any(word in line for word in ("restem", "newroot", "oldroot"))
    ]


def test_what_a_program_puts_into_shared_namespaces_is_gone_before_the_next(worker, limits):
    leave = """
        import os, socket
        server = socket.socket(socket.AF_UNIX)
        server.bind("\\0drop")
        server.listen()
        if os.fork() == 0:
            while True:
                connection, _ = server.accept()
                connection.send(b"loot")
        print("left")
    """
    find = """
        import ctypes, socket
        client = socket.socket(socket.AF_UNIX)
        print(client.connect_ex("\\0drop") != 0)
        libc = ctypes.CDLL(None)
        print([libc.shmget(7, 4096, 0o1666), libc.msgget(7, 0o1666), libc.semget(7, 1, 0o1666)])
    """
    for _ in range(2):
        assert run_script(worker, "", [dedent(leave)], "", limits) == "left\n"
        assert run_script(worker, "", [dedent(find)], "", limits) == "True\n[-1, -1, -1]\n"


def test_nothing_is_left_of_three_hundred_mixed_programs(workers):
    limits = Limits(memory_mib=256)  # patient: a busy machine must fail no good program
    programs = {
        GOOD: "passed",
        "def solve(number): return number": "wrong answer",
        "def solve(number): return 1 / 0": "runtime error",
        "import os\nif os.fork() == 0:\n    import time\n    time.sleep(9)\n" + GOOD: "passed",
        "print('x' * 10 ** 7)\n" + GOOD: "output limit",
        "def solve(number): bytearray(1 << 30)": "memory",
    }
    for kind in ("stdin", "tolerance"):  # both workers run before their descriptors are counted
        assert outcome(workers, kind, GOOD, limits) == "passed"
    mounts, files = sandbox_mounts(), len(list(Path("/proc/self/fd").iterdir()))
    for turn in range(300):
        program, expected = list(programs.items())[turn % len(programs)]
        kind = "stdin" if expected == "output limit" else list(KINDS)[turn % len(KINDS)]
        if "fork" in program:
            kind = "stdin"
        assert outcome(workers, kind, program, limits) == expected, (kind, program)
    assert workers.programs.descendants() == workers.tests.descendants() == 0
    assert sandbox_mounts() == mounts
    assert len(list(Path("/proc/self/fd").iterdir())) == files
