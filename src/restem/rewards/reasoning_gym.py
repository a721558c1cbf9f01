"""Verify with the scorers of reasoning-gym, in worker processes with limits of time and memory.

The answer follows the last `answer is` of a completion, or stands in the last `<answer>` tags. It
is correct when the dataset's own scorer gives it 1; a lower score is the graded reward. Scorers
that would evaluate an answer as Python get a reader of literals, or of arithmetic, in its place.
A worker is `python -m restem.rewards.reasoning_gym SECONDS MEGABYTES`.
"""

import ast
import builtins
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from restem.answers.thoughts import after_thoughts
from restem.answers.workers import PairLimits, Reply, WorkerPool, open_workers, serve
from restem.config.reward import Reward
from restem.rewards.gym_datasets import entry_of
from restem.rewards.verifier import INFRASTRUCTURE, Attempt, Outcome, Verdict

WORKER: Final = __name__
LIMITS: Final = PairLimits(seconds=10.0, megabytes=3000)

_MARKED = re.compile(
    r"answer\s+is\b[ \t]*:?(?P<said>.*)\Z|<answer>(?P<tagged>(?:(?!</?answer>).)*)</answer>",
    re.IGNORECASE | re.DOTALL,
)
# What sympy may read of an answer: no attributes, calls of unknown names, texts or brackets.
_ARITHMETIC = re.compile(r"(?:[\s\d()+\-*/^,]|\.(?![A-Za-z_])|[A-Za-z]\w*)*")
_FUNCTIONS: Final = frozenset(
    ("sqrt", "exp", "log", "ln", "sin", "cos", "tan", "sec", "csc", "cot", "asin", "acos", "atan",
     "sinh", "cosh", "tanh", "pi", "Abs", "abs", "Rational", "Integer")
)  # fmt: skip


class ReasoningGymVerifier:
    """Scores answers in workers."""

    def __init__(self, reward: Reward, workers: WorkerPool) -> None:
        self._max_characters = reward.max_answer_characters
        self._workers = workers

    def verify(self, attempts: Sequence[Attempt], mode: str) -> list[Verdict]:
        """Return one verdict per attempt, in order."""
        answers = [answer_in(attempt, mode == "strict") for attempt in attempts]
        scored = [
            place
            for place, answer in enumerate(answers)
            if answer and len(answer) <= self._max_characters
        ]
        pairs = [(attempts[place].gold, str(answers[place])) for place in scored]
        replies = self._workers.compare(pairs)
        by_place = dict(zip(scored, replies, strict=True))
        return [
            _verdict(answer, by_place.get(place), self._max_characters)
            for place, answer in enumerate(answers)
        ]


def _verdict(answer: str | None, reply: Reply | None, longest: int) -> Verdict:
    if not answer:
        return Verdict("unextractable", None, "extraction", passed=0.0)
    if reply is None:
        return Verdict("incorrect", answer[:longest], "length", passed=0.0)
    if reply.layer == "recipe":
        return Verdict("error", answer, INFRASTRUCTURE, reply.detail)
    if reply.equal is None:
        outcome: Outcome = "timeout" if reply.layer == "timeout" else "error"
        return Verdict(outcome, answer, reply.layer, reply.detail, passed=0.0)
    score = float(reply.detail or 0)
    return Verdict("correct" if reply.equal else "incorrect", answer, reply.layer, passed=score)


@contextmanager
def open_verifier(reward: Reward, markers: tuple[str, ...]) -> Iterator[ReasoningGymVerifier]:
    """Open the verifier; its workers start when they are first needed."""
    with open_workers(LIMITS, WORKER) as workers:
        yield ReasoningGymVerifier(reward, workers)


def answer_in(attempt: Attempt, strict: bool) -> str | None:
    """Return the answer in a completion; in the flexible mode, failing that, its last line."""
    text = after_thoughts(attempt.completion)
    found = None
    start = 0
    while match := _MARKED.search(text, start):
        found, start = match, match.end() if match["said"] is None else match.start("said")
    if found:
        answer = found["tagged"] if found["said"] is None else found["said"]
    elif strict:
        return None
    else:
        answer = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    answer = answer.strip()
    expected = json.loads(attempt.gold)["answer"]
    if not (isinstance(expected, str) and expected.endswith(".")):
        answer = answer.removesuffix(".").rstrip()
    return answer or None


# ---- in the worker ----


@lru_cache(maxsize=4096)
def _entry(gold: str) -> tuple[Any, dict[str, Any]]:
    return entry_of(json.loads(gold))


def score(gold: str, answer: str) -> dict[str, Any]:
    """Return the reply for one answer: its score, as the detail."""
    try:
        dataset, entry = _entry(gold)
    except Exception as error:
        return {"equal": None, "layer": "recipe", "detail": f"{error}"}
    with _reading(entry):
        try:
            value = float(dataset.score_answer(answer, entry))
        except MemoryError:
            raise
        except Exception as error:  # scorers are not written for any text
            return {"equal": False, "layer": type(error).__name__, "detail": "0"}
    value = min(1.0, max(0.0, value)) if value == value else 0.0
    return {"equal": value >= 1.0, "layer": "scorer", "detail": str(value)}


@contextmanager
def _reading(entry: dict[str, Any]) -> Iterator[None]:
    """Let scorers read texts, not evaluate them, except texts of the problem itself."""
    own = f"{entry['question']}\0{entry['answer']}\0{entry['metadata']}"
    sympy = sys.modules["sympy"]
    original = sympy.parse_expr

    def read_literal(text: str, *scopes: Any) -> Any:
        return builtins.eval(text, *scopes) if text in own else ast.literal_eval(text)

    def read_arithmetic(text: str, *arguments: Any, **options: Any) -> Any:
        if text not in own:
            check_arithmetic(text)
        return original(text, *arguments, **options)

    changed: list[tuple[Any, str, Any]] = []

    def put(module: Any, name: str, value: Callable[..., Any]) -> None:
        changed.append((module, name, vars(module).get(name)))
        setattr(module, name, value)

    put(sympy, "parse_expr", read_arithmetic)
    for name, module in list(sys.modules.items()):
        if name.startswith("reasoning_gym."):
            put(module, "eval", read_literal)
            if vars(module).get("parse_expr") is original:
                put(module, "parse_expr", read_arithmetic)
    try:
        yield
    finally:
        for module, name, value in reversed(changed):
            if value is None:
                delattr(module, name)
            else:
                setattr(module, name, value)


def check_arithmetic(text: str) -> None:
    """Raise ValueError for a text that is more than numbers, letters and known functions."""
    names = re.findall(r"[A-Za-z]\w*", text)
    unknown = [name for name in names if len(name) > 1 and name not in _FUNCTIONS]
    if unknown or not _ARITHMETIC.fullmatch(text):
        raise ValueError("this is no arithmetic")


if __name__ == "__main__":
    importlib.import_module("reasoning_gym")  # so that no answer's time includes the import
    serve(score, float(sys.argv[1]), int(sys.argv[2]))
