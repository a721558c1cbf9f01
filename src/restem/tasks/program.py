"""Small programs of the embedded world, verified by running them: a code task without data."""

from collections.abc import Iterable
from typing import Any, Final

from restem.config.data import EmbeddedSource
from restem.embedded import programs, world
from restem.rewards.code_spec import Spec
from restem.tasks.procedural import Example, embedded_task

# A program has assignments only, so this frame around it reads the input and prints the output.
FRAME: Final = "import atexit\n{first} = int(input())\natexit.register(lambda: print({last}))\n"


def answer(solution: str) -> str:
    """Frame a program as it follows `Answer:`."""
    return f"\n{solution.strip()}{world.END}"


def rows(split: str, source: EmbeddedSource) -> list[dict[str, Any]]:
    """Generate the problems of a split."""
    generated = programs.problems(split, source.pool, source.seed)
    fields = ("id", "question", "level", "subject", "solutions")
    return [{**{k: row[k] for k in fields}, "answer": _spec(row).dump()} for row in generated]


def examples() -> Iterable[Example]:
    """Generate the worked examples of the prompt."""
    for shot in programs.few_shot():
        yield shot["question"], _spec(shot).dump(), shot["solutions"]["terse"]


def _spec(row: dict[str, Any]) -> Spec:
    first, *_, last = row["letters"]
    return Spec(
        kind="stdin",
        preamble=FRAME.format(first=first, last=last),
        inputs=[f"{start}\n" for start, _ in row["tests"]],
        expected=[f"{end}\n" for _, end in row["tests"]],
    )


TASK = embedded_task(
    "program", programs.PROMPT, rows, examples, verifier="code", answer=answer, hint=""
)
