"""Math verifier: how many answers are judged per CPU-second, and how many wrongly?

Ours is compared with Math-Verify 0.9.0 on the same completions in one run, interleaved. The floor
is a comparison of strings like that of PRM800K's grader. `math`: answers made from the gold answers
of MATH (unchanged, written differently, or another problem's). `math-adversarial`: the labelled
pairs of the tests, towers of powers, deep nesting, long strings, code. Ours gets completions,
Math-Verify the extracted answers, because it is slow at extracting them. Time is CPU time and
includes worker processes.
"""

import gzip
import json
import logging
import os
import random
import re
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from math_verify import parse, verify

from restem.answers.markers import last_boxed
from restem.config.reward import Reward
from restem.rewards.math import open_verifier
from restem.rewards.verifier import Attempt

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("RESTEM_DATA", ROOT.parent / "shared/data"))
ROUNDS = 5
REAL_PAIRS = 1500
ADVERSARIAL_PAIRS = 250
DRAWS, PROBLEMS = 32, 7500

Pairs = Sequence[Attempt]


# ---- answers ----


def golds() -> list[str]:
    """Return the gold answers of MATH, or those of the labelled pairs if MATH is missing."""
    files = [DATA / f"math/{split}.jsonl.gz" for split in ("train", "test")]
    if not all(file.is_file() for file in files):
        print(f"no MATH in {DATA} (set RESTEM_DATA): using the labelled pairs", flush=True)
        return [pair["gold"] for pair in labelled() if pair["equal"]]
    texts = [gzip.decompress(file.read_bytes()).decode() for file in files]
    rows = (json.loads(line) for text in texts for line in text.rstrip("\n").split("\n"))
    return [answer for row in rows if (answer := last_boxed(row["solution"]))]


def labelled() -> list[dict[str, object]]:
    text = (ROOT / "tests/data/math_pairs.jsonl").read_text(encoding="utf8")
    return [json.loads(line) for line in text.splitlines()]


def rewritten(answer: str, rng: random.Random) -> str:
    """Return an answer as a model may write it: other fractions, blanks, a name or a full stop."""
    return rng.choice(
        (
            answer.replace("\\frac", "\\dfrac"),
            answer.replace(" ", ""),
            re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"\1/\2", answer),
            re.sub(r"([+=<>])", r" \1 ", answer),
            f"x = {answer}",
            f"{answer}.",
            answer.replace("(", "\\left(").replace(")", "\\right)"),
        )
    )


def completion(answer: str) -> str:
    reasoning = "We set up an equation, simplify both sides and substitute. " * 12
    return f"{reasoning}So the answer is $\\boxed{{{answer}}}$."


def real(answers: Sequence[str], size: int, rng: random.Random) -> list[Attempt]:
    """Pair golds with answers: 45 % the same, 15 % written differently, 40 % of another problem."""
    attempts = []
    for _ in range(size):
        gold, chance = rng.choice(answers), rng.random()
        answer = gold if chance < 0.45 else rewritten(gold, rng)
        answer = rng.choice(answers) if chance >= 0.6 else answer
        attempts.append(Attempt(gold, completion(answer)))
    return attempts


HOSTILE = (
    "9^{9^{9^{9}}}", "2^{10^{9}}", "(x+1)^{10^{6}}", "1000000!", "\\sin(10^{10^{5}})",
    "{" * 300 + "5" + "}" * 300, "(" * 400, "\\sqrt{" * 100 + "2" + "}" * 100, "9" * 900,
    "\\frac{1}{" * 60 + "2" + "}" * 60, "1," * 400, "\\begin{pmatrix}" + "1&" * 300, "x^" * 300,
    "__import__('os').system('true')", "().__class__.__base__", "\x00\x01", "\\text{" * 100,
    "+".join(f"\\sqrt{{{n}}}" for n in range(2, 60)), "\\cos(" * 60 + "1" + ")" * 60,
)  # fmt: skip


def adversarial(size: int, rng: random.Random) -> list[Attempt]:
    """Pair golds with answers that are hard to judge: nine in ten labelled, one in ten hostile."""
    pairs = labelled()
    attempts = []
    for _ in range(size):
        pair = rng.choice(pairs)
        answer = rng.choice(HOSTILE) if rng.random() < 0.1 else str(pair["candidate"])
        attempts.append(Attempt(str(pair["gold"]), completion(answer)))
    return attempts


def iteration(answers: Sequence[str], rng: random.Random) -> Iterator[Attempt]:
    """Yield 32 answers per problem: the gold answer, and a few wrong ones that occur repeatedly."""
    for _ in range(PROBLEMS):
        gold = rng.choice(answers)
        wrong = [rng.choice(answers) for _ in range(6)]
        skill = rng.random()
        for _ in range(DRAWS):
            answer = gold if rng.random() < skill else rng.choice(wrong)
            answer = rewritten(answer, rng) if rng.random() < 0.2 else answer
            yield Attempt(gold, completion(answer))


# ---- graders ----


def ours(attempts: Pairs) -> list[bool]:
    with open_verifier(Reward()) as verifier:
        return [v.verdict == "correct" for v in verifier.verify(attempts, "strict")]


def theirs(attempts: Pairs) -> list[bool]:
    return [_math_verify(attempt) for attempt in attempts]


def _math_verify(attempt: Attempt) -> bool:
    try:
        answer = last_boxed(attempt.completion) or ""  # because it would take longer to extract it
        return bool(verify(parse(f"${attempt.gold}$"), parse(f"${answer}$")))
    except Exception:  # it raises on some answers, also for its own time-outs
        return False


def floor(attempts: Pairs) -> list[bool]:
    return [_same_string(a.gold, last_boxed(a.completion) or "") for a in attempts]


def _same_string(gold: str, answer: str) -> bool:
    """Compare strings after the usual normalisation, then plain fractions."""
    left, right = _normalised(gold), _normalised(answer)
    return left == right or _fraction(left) == _fraction(right) != None  # noqa: E711


def _normalised(text: str) -> str:
    for old, new in (("\\dfrac", "\\frac"), ("\\tfrac", "\\frac"), ("\\left", ""), ("\\right", "")):
        text = text.replace(old, new)
    text = re.sub(r"\\text\{[^{}]*\}|\\[!,;% ]|\\\$|\^\\circ|\^\{\\circ\}|\s+", "", text)
    return re.sub(r"^[a-z]=", "", text).rstrip(".")


def _fraction(text: str) -> Fraction | None:
    match = re.fullmatch(
        r"(-?)(?:\\frac\{(\d{1,40})\}\{(\d{1,40})\}|(\d{1,40})(?:/(\d{1,40}))?)", text
    )
    if match is None:
        return None
    top, bottom = int(match[2] or match[4]), int(match[3] or match[5] or 1)
    return Fraction(-top if match[1] else top, bottom) if bottom else None


# ---- measurement ----

GRADERS: dict[str, Callable[[Pairs], list[bool]]] = {"ours": ours, "peer": theirs, "floor": floor}


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def rate(grader: Callable[[Pairs], list[bool]], attempts: Pairs) -> float:
    """Return pairs per CPU-second."""
    start = cpu_seconds()
    grader(attempts)
    return len(attempts) / max(cpu_seconds() - start, 1e-9)


def compared(name: str, make: Callable[[random.Random], Pairs]) -> str:
    """Measure all graders on the same pairs, round by round; return the summary line."""
    rates: dict[str, list[float]] = {grader: [] for grader in GRADERS}
    for number in range(ROUNDS):
        attempts = make(random.Random(number))
        for grader, grade in GRADERS.items():
            rates[grader].append(rate(grade, attempts))
        latest = ", ".join(f"{grader} {rates[grader][-1]:,.0f}" for grader in GRADERS)
        print(f"{name} round {number}: pairs per CPU-second: {latest}", flush=True)
    ratios = [a / b for a, b in zip(rates["ours"], rates["peer"], strict=True)]
    figures = " ".join(
        f"{who}={statistics.median(rates[who]):.0f}pairs/CPU-s" for who in ("ours", "peer")
    )
    spread = f"min={min(ratios):.1f} max={max(ratios):.1f}"
    return f"bench {name}: ratio={statistics.median(ratios):.1f} {spread} {figures}"


def accuracy() -> None:
    """Print the share of wrong verdicts on the labelled pairs, which ours was developed with."""
    pairs = labelled()
    attempts = [Attempt(str(p["gold"]), f"\\boxed{{{p['candidate']}}}") for p in pairs]
    for name, grade in GRADERS.items():
        judged = list(zip(pairs, grade(attempts), strict=True))
        positive = [equal for pair, equal in judged if pair["equal"]]
        negative = [equal for pair, equal in judged if not pair["equal"]]
        print(
            f"{name}: false negatives {1 - sum(positive) / len(positive):.1%} of {len(positive)}, "
            f"false positives {sum(negative) / len(negative):.2%} of {len(negative)}",
            flush=True,
        )


def main() -> None:
    """Print the accuracy, the time of one iteration, and one line with the ratio for each mix."""
    logging.disable(logging.CRITICAL)
    answers = golds()
    for grade in GRADERS.values():  # imports and caches are not measured
        grade([Attempt("\\sqrt{8}", completion("2\\sqrt{2}"))])
    accuracy()
    attempts = list(iteration(answers, random.Random(0)))
    start, used = time.monotonic(), cpu_seconds()
    correct = sum(ours(attempts))
    print(
        f"one iteration: {len(attempts):,} answers in {time.monotonic() - start:.1f} s "
        f"({cpu_seconds() - used:.1f} CPU-s), {correct:,} correct",
        flush=True,
    )
    hostile = compared("math-adversarial", lambda rng: adversarial(ADVERSARIAL_PAIRS, rng))
    usual = compared("math", lambda rng: real(answers, REAL_PAIRS, rng))
    print(f"{hostile}\n{usual}")


if __name__ == "__main__":
    main()
