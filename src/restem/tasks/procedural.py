"""Make a task of a family of the embedded world, which needs no data."""

from collections.abc import Callable

from restem.answers.markers import find
from restem.config.data import DataSource, EmbeddedSource
from restem.embedded import world
from restem.errors import RestemError
from restem.tasks.problem import SHOT, Problem
from restem.tasks.sources import Reader
from restem.tasks.task import Task


def procedural_task(family: str, marker: str) -> Task:
    """Declare a family of `restem.embedded.world` whose solutions mark answers with `marker`."""
    return Task(
        name=family,
        files=no_files,
        load=_loader(family, marker),
        question=lambda text: world.PROMPT[family].format(question=text),
        answer=framed,
        stop=(world.END,),
        verifier="math",
        markers=(marker,),
        hint=" {answer}.",  # in words that the tokenizer of the embedded world has
    )


def no_files(source: DataSource, split: str) -> tuple[str, ...]:
    """Name no files: problems are made on the spot."""
    embedded(source)
    return ()


def framed(solution: str) -> str:
    """Frame a solution as it follows `Answer:` or `Solution:`."""
    return f" {solution.strip()}{world.END}"


def _loader(family: str, marker: str) -> Callable[[Reader, str], list[Problem]]:
    def load(reader: Reader, split: str) -> list[Problem]:
        source = embedded(reader.source)
        if split == "shots":
            return _shots(family, marker)
        rows = world.problems(family, split, source.pool, source.seed)
        return [Problem(**row) for row in rows]

    return load


def _shots(family: str, marker: str) -> list[Problem]:
    return [
        Problem(
            id=f"{family}/shots/{index}",
            question=shot["question"],
            answer=find(shot["solution"], marker),
            solutions={SHOT: shot["solution"]},
        )
        for index, shot in enumerate(world.few_shot(family))
    ]


def embedded(source: DataSource) -> EmbeddedSource:
    """Return an embedded source. Raises RestemError for any other."""
    if isinstance(source, EmbeddedSource):
        return source
    raise RestemError(
        f"an embedded task cannot be read from a {source.kind} source",
        "source.kind",
        "set it to embedded",
    )
