"""Stage recheck: give a second verdict on a sample of what a policy is trained on.

A reward is a false positive if the solution is wrong after all. Three checks look for that:
`second grader` compares the answer with Math-Verify, `equations` works out the equations of numbers
that a solution states, `held-back tests` runs a program on tests that did not decide its reward.
A check is undecided where it can say nothing: that is no rejection.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from restem.answers.equations import equations, holds
from restem.artifacts.schemas.evaluation import RECHECK
from restem.artifacts.schemas.loop import EXAMPLES, KEPT, REWARDS, SAMPLES
from restem.artifacts.store import Job
from restem.artifacts.tables import Kind, read_rows, table, write_table
from restem.config.base import Strict, TaskModule, VerifierModule
from restem.config.reward import Reward
from restem.errors import RestemError
from restem.rewards.code_asserts import held_back_tests
from restem.rewards.second_grader import second_replies
from restem.rewards.verifier import Attempt
from restem.stages.declaration import InputFile, InputFiles, OutputFile, stage
from restem.tasks.grading import open_grader
from restem.tasks.problem import read_problems

FIRST_TRY: Final = "first try"
RATIONALISED: Final = "rationalised"
ORIGINS: Final = {"model": FIRST_TRY, "hint": RATIONALISED}
ACCEPTED, REJECTED, UNDECIDED = "accepted", "rejected", "undecided"


class Settings(Strict):
    """Whose solutions, from which sources, how they were rewarded, and how many are judged."""

    task: TaskModule
    verifier: VerifierModule
    reward: Reward
    sources: tuple[tuple[str, int], ...]
    sample: int
    seed: int
    equations: bool


@dataclass(frozen=True)
class Case:
    """A kept solution: its address, its origin, the solution, and what our verifier said of it.

    kept: how many solutions of this origin were kept.
    """

    problem_id: str
    source: str
    draw: int
    origin: str
    kept: int
    gold: str
    completion: str
    extracted: str | None
    verdict: str


@dataclass(frozen=True)
class Finding:
    """What a check says of a case; detail: why."""

    outcome: str
    detail: str | None = None


@stage(lock="second-grader")
def run(
    job: Job,
    settings: Settings,
    examples: InputFile,
    samples: InputFiles,
    rewards: InputFiles,
    problems: InputFile,
    *,
    output: OutputFile,
) -> None:
    """Give a second verdict on a sample of a policy's examples: grader, equations, held-back tests.

    One row for each sampled solution and check. The shards are ordered by source, as for the
    selection.
    """
    chosen = _chosen(read_rows(examples, EXAMPLES), settings)
    cases = list(_cases(chosen, settings, samples, rewards, problems))
    rows = [
        _row(case, check, finding)
        for check, findings in _checks(cases, settings).items()
        for case, finding in zip(cases, findings, strict=True)
    ]
    write_table(output, RECHECK, table(RECHECK, rows), job.provenance)
    counts = Counter((row["check"], row["outcome"]) for row in rows)
    summary = ", ".join(f"{check} {outcome}: {n}" for (check, outcome), n in sorted(counts.items()))
    print(f"recheck: {len(cases)} solutions; {summary or 'nothing was kept'}", flush=True)


def _chosen(
    rows: Iterable[Mapping[str, Any]], settings: Settings
) -> dict[tuple[str, str, int], tuple[str, int]]:
    """Sample the kept solutions of each origin; return origin and number kept by address."""
    kept: dict[str, list[tuple[str, str, int]]] = {origin: [] for origin in ORIGINS.values()}
    for row in rows:
        origin = ORIGINS.get(row["source"].partition(":")[0])
        if row["decision"] == KEPT and origin:
            kept[origin].append((row["problem_id"], row["source"], row["draw"]))
    chosen = {}
    for origin, addresses in kept.items():
        addresses.sort()
        rng = random.Random(f"{settings.seed}/{origin}")
        for address in sorted(rng.sample(addresses, min(settings.sample, len(addresses)))):
            chosen[address] = (origin, len(addresses))
    return chosen


def _cases(
    chosen: Mapping[tuple[str, str, int], tuple[str, int]],
    settings: Settings,
    samples: Sequence[Path],
    rewards: Sequence[Path],
    problems: Path,
) -> Iterator[Case]:
    """Pair every chosen solution with its text, its verdict and the gold answer."""
    gold = {problem.id: problem.answer for problem in read_problems(problems)}
    names = [f"{name}:{age}" if age else name for name, age in settings.sources]
    texts = dict(_sought(chosen, names, samples, SAMPLES, "completion"))
    judged = dict(_sought(chosen, names, rewards, REWARDS, "extracted", "verdict"))
    for address, (origin, kept) in chosen.items():
        answer = gold.get(address[0])
        if address not in texts or address not in judged or answer is None:
            raise RestemError(
                "a kept solution has no completion, no verdict or no gold answer",
                f"problem {address[0]}, source {address[1]}, draw {address[2]}",
                "run snakemake again; by hand, give the files that its examples were made from",
            )
        verdict = judged[address]
        yield Case(
            *address, origin, kept, answer, texts[address]["completion"], verdict["extracted"],
            verdict["verdict"],
        )  # fmt: skip


def _sought(
    chosen: Mapping[tuple[str, str, int], Any],
    names: Sequence[str],
    paths: Sequence[Path],
    kind: Kind,
    *columns: str,
) -> Iterator[tuple[tuple[str, str, int], dict[str, Any]]]:
    """Yield columns of the chosen rows of all shards, with their address."""
    count = len(paths) // max(len(names), 1)
    for place, path in enumerate(paths):
        for row in read_rows(path, kind, ("problem_id", "draw", *columns)):
            address = (row["problem_id"], names[place // count], row["draw"])
            if address in chosen:
                yield address, row


def _checks(cases: Sequence[Case], settings: Settings) -> dict[str, list[Finding]]:
    """Run every check that fits the task."""
    if settings.verifier == "code":
        return {"held-back tests": _held_back_tests(cases, settings)}
    checks = {"second grader": _second_grader(cases)}
    if settings.equations:
        checks["equations"] = [_equations(case) for case in cases]
    return checks


def _second_grader(cases: Sequence[Case]) -> list[Finding]:
    """Compare answers; one that cannot be read by the second grader is undecided."""
    extracted = [case for case in cases if case.extracted is not None]
    pairs = [(case.gold, str(case.extracted)) for case in extracted]
    replies = second_replies(pairs, "stage recheck") if pairs else []
    reply_by_case = dict(zip(extracted, replies, strict=True))
    findings = []
    for case in cases:
        reply = reply_by_case.get(case)
        if reply is None:
            findings.append(Finding(REJECTED, "no answer"))
        elif reply.equal is None or reply.layer == "unparsed":
            findings.append(Finding(UNDECIDED, reply.layer))
        else:
            detail = None if reply.equal else f"{case.extracted} is not {case.gold}"
            findings.append(Finding(ACCEPTED if reply.equal else REJECTED, detail))
    return findings


def _equations(case: Case) -> Finding:
    """Work out what a solution states; one without an equation of numbers is undecided."""
    stated = equations(case.completion)
    if not stated:
        return Finding(UNDECIDED, "no equation")
    wrong = [f"{left}={right}" for left, right in stated if not holds((left, right))]
    return Finding(REJECTED, wrong[0]) if wrong else Finding(ACCEPTED)


def _held_back_tests(cases: Sequence[Case], settings: Settings) -> list[Finding]:
    """Run programs on the tests that did not decide; a problem without such is undecided."""
    tests = [held_back_tests(case.gold, settings.reward.code.held_back) for case in cases]
    testable = [(case, gold) for case, gold in zip(cases, tests, strict=True) if gold is not None]
    code = settings.reward.code.model_copy(update={"held_back": 0})
    reward = settings.reward.model_copy(update={"code": code})
    verdict_by_case = {}
    if testable:
        with open_grader(settings.task, settings.verifier, reward) as grader:
            verdicts = grader.verdicts([Attempt(gold, case.completion) for case, gold in testable])
        pairs = zip(testable, verdicts, strict=True)
        verdict_by_case = {case: verdict for (case, _), verdict in pairs}
    findings = []
    for case in cases:
        verdict = verdict_by_case.get(case)
        if verdict is None:
            findings.append(Finding(UNDECIDED, "no test is held back"))
        elif verdict.verdict == "error":
            findings.append(Finding(UNDECIDED, verdict.layer))
        elif verdict.verdict == "correct":
            findings.append(Finding(ACCEPTED))
        else:
            findings.append(Finding(REJECTED, verdict.detail or verdict.layer))
    return findings


def _row(case: Case, check: str, finding: Finding) -> dict[str, Any]:
    address = {"problem_id": case.problem_id, "source": case.source, "draw": case.draw}
    judged = {"origin": case.origin, "kept": case.kept, "check": check, "verdict": case.verdict}
    return {**address, **judged, "outcome": finding.outcome, "detail": finding.detail}
