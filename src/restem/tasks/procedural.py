"""Tasks of the embedded world: their problems are generated, so they need no data."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from restem.answers.markers import find
from restem.config.data import DataSource, EmbeddedSource
from restem.embedded import world
from restem.errors import RestemError
from restem.tasks.problem import SHOT, Problem
from restem.tasks.sources import Reader
from restem.tasks.task import Task

Example = tuple[str, str | None, str]
"""Question, answer and solution of a worked example."""


def framed(solution: str) -> str:
    """Frame a solution as it follows `Answer:` or `Solution:`."""
    return f" {solution.strip()}{world.END}"


def embedded_task(
    name: str,
    prompt: str,
    rows: Callable[[str, EmbeddedSource], list[dict[str, Any]]],
    examples: Callable[[], Iterable[Example]],
    *,
    verifier: str,
    markers: tuple[str, ...] = (),
    answer: Callable[[str], str] = framed,
    hint: str = Task.hint,
) -> Task:
    """Declare a task. rows: the fields of a split's problems. examples: those of the prompt."""
    generated = lru_cache(maxsize=8)(rows)  # a forecast reads a split several times

    def load(reader: Reader, split: str) -> list[Problem]:
        source = _embedded(reader.source)
        if split != "shots":
            return [Problem(**row) for row in generated(split, source)]
        return [
            Problem(f"{name}/shots/{index}", question, answer, solutions={SHOT: solution})
            for index, (question, answer, solution) in enumerate(examples())
        ]

    return Task(
        name=name,
        files=_no_files,
        load=load,
        question=lambda text: prompt.format(question=text),
        answer=answer,
        stop=(world.END,),
        verifier=verifier,
        markers=markers,
        hint=hint,
    )


def procedural_task(family: str, marker: str) -> Task:
    """Declare a family of `restem.embedded.world` whose solutions mark answers with `marker`."""

    def rows(split: str, source: EmbeddedSource) -> list[dict[str, Any]]:
        return world.problems(family, split, source.pool, source.seed)

    def examples() -> Iterable[Example]:
        for shot in world.few_shot(family):
            yield shot["question"], find(shot["solution"], marker), shot["solution"]

    hint = " {answer}."  # in words that the tokenizer of the embedded world has
    return embedded_task(
        family, world.PROMPT[family], rows, examples, verifier="math", markers=(marker,), hint=hint
    )


def _no_files(source: DataSource, split: str) -> tuple[str, ...]:
    _embedded(source)
    return ()


def _embedded(source: DataSource) -> EmbeddedSource:
    if isinstance(source, EmbeddedSource):
        return source
    raise RestemError(
        f"an embedded task cannot be read from a {source.kind} source",
        "source.kind",
        "set it to embedded",
    )
