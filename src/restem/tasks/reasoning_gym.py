"""Any dataset of reasoning-gym (Stojanovski et al. 2025): generated problems, its own scorers.

Questions are asked as `Question: …`, `Answer: …`, with worked examples that state the answer only.
A question belongs to one split, by a hash of its text. The datasets of a source take turns, and a
problem's subject is its dataset. The library runs in a process of its own, `python -m
restem.tasks.reasoning_gym REQUEST`, because some datasets depend on PYTHONHASHSEED.
"""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from restem.config.data import DataSource, ReasoningGymSource
from restem.errors import RestemError
from restem.rewards.gym_datasets import HASH_SEED, check_installed, entry_at, gold
from restem.tasks.overlap import normalise_question
from restem.tasks.problem import SHOT, Problem
from restem.tasks.sources import Reader
from restem.tasks.task import Task

SHOTS: Final = 4
# The share of the questions that each split has, in percent.
_SHARES: Final = {"shots": 5, "validation": 15, "test": 30, "train": 50}
_RESULT: Final = "restem result: "
_PATIENCE: Final = 2000  # questions in a row that bring no new one, until a split counts as used up


def files(source: DataSource, split: str) -> tuple[str, ...]:
    """Return no files: problems are generated. Raises RestemError for another kind of source."""
    if not isinstance(source, ReasoningGymSource):
        raise RestemError(
            f"reasoning_gym cannot be read from a {source.kind} source",
            "source",
            "set it to {kind: reasoning_gym, datasets: {chain_sum: {}}}, with your datasets",
        )
    return ()


def load(reader: Reader, split: str) -> list[Problem]:
    """Generate as many problems of a split as are configured; 4 worked examples by default.

    Raises RestemError if a dataset is unknown, refuses its parameters, or has fewer problems.
    """
    source = reader.source
    files(source, split)
    assert isinstance(source, ReasoningGymSource)
    check_installed(source.version)
    count = reader.counts.get(split)
    wanted = _in_turns(source.datasets, SHOTS if count is None else count)
    rows = _in_a_process(json.dumps([wanted, source.seed, split])) if wanted else []
    if source.level and rows:
        _check_levels(source.level, rows)
    return [_problem(row, split, source.level) for row in rows]


def _check_levels(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise RestemError if the metadata of no problem has this number."""
    if not any(name in row["numbers"] for row in rows):
        numbers = sorted({number for row in rows for number in row["numbers"]})
        raise RestemError(
            f"the metadata of these problems has no whole number called {name!r}",
            "source.level",
            f"name one of {', '.join(numbers)}" if numbers else "leave it out",
        )


def _in_turns(datasets: Mapping[str, Mapping[str, Any]], count: int) -> list[tuple[str, str, int]]:
    """Return name, parameters as JSON and number of problems of each dataset that has some."""
    names = sorted(datasets)
    shares = [count // len(names) + (place < count % len(names)) for place in range(len(names))]
    return [
        (name, json.dumps(datasets[name], sort_keys=True), share)
        for name, share in zip(names, shares, strict=True)
        if share
    ]


def _problem(row: Mapping[str, Any], split: str, level: str | None) -> Problem:
    answer = row["answer"]
    kind = SHOT if split == "shots" else "human"
    return Problem(
        id=f"{row['dataset']}/{row['index']}",
        question=row["question"],
        answer=row["gold"],
        subject=row["dataset"],
        level=row["numbers"].get(level),
        solutions={} if answer is None else {kind: stated(answer)},
    )


def stated(answer: str) -> str:
    """Return the solution that states an answer; one of several lines begins on its own line."""
    if "\n" in answer:
        return f"The answer is\n{answer}"
    return f"The answer is {answer}" + ("" if answer.endswith(".") else ".")


@lru_cache(maxsize=16)  # of the splits of a study, which `restem doctor` reads again and again
def _in_a_process(request: str) -> Sequence[Mapping[str, Any]]:
    """Return the rows that the library generates in a process with a fixed hash seed."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, request],
        env={**os.environ, **HASH_SEED, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise RestemError(
            f"the problems cannot be generated: {last}",
            "source.datasets",
            "choose other parameters, or leave a dataset out",
        )
    _, _, line = done.stdout.rpartition(_RESULT)  # the library may print something too
    answer: dict[str, Any] = json.loads(line.partition("\n")[0])
    if "error" in answer:
        raise RestemError(*answer["error"])
    rows: list[dict[str, Any]] = answer["rows"]
    return rows


# ---- in the process of the library ----


def generate(
    name: str, parameters: str, count: int, seed: int, split: str
) -> Iterator[dict[str, Any]]:
    """Yield the first distinct questions of a split. Raises RestemError if there are too few."""
    seed = _spread(seed)
    seen: set[str] = set()
    newest = 0
    for index in itertools.count():
        if len(seen) == count:
            return
        if index - newest > _PATIENCE + 20 * len(seen):
            raise RestemError(
                f"the dataset has about {len(seen)} different problems of this split, not {count}",
                f"source.datasets.{name}, split {split}",
                "choose fewer, or parameters with more problems",
            )
        _, entry = entry_at(name, parameters, seed, index)
        question = normalise_question(entry["question"])
        if question in seen or split_of(question) != split:
            continue
        seen.add(question)
        newest = index
        yield {
            "dataset": name,
            "index": index,
            "question": entry["question"],
            "answer": entry["answer"],
            "gold": gold(name, parameters, seed, index, entry["answer"]),
            "numbers": {
                key: number
                for key, number in entry["metadata"].items()
                if type(number) is int and key != "source_index"
            },
        }


def split_of(question: str) -> str:
    """Return the split that a normalised question belongs to."""
    place = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big") % 100
    return next(name for name, end in _ends() if place < end)


def _ends() -> Iterator[tuple[str, int]]:
    end = 0
    for name, share in _SHARES.items():
        end += share
        yield name, end


def _spread(seed: int) -> int:
    """Return the library's seed; it adds the index, so that near seeds would share problems."""
    return int.from_bytes(hashlib.sha256(f"reasoning-gym {seed}".encode()).digest()[:4], "big")


TASK = Task(
    name="reasoning_gym",
    files=files,
    load=load,
    question=lambda text: f"Question: {text}\nAnswer:",
    answer=lambda solution: f" {solution.strip()}\n\n",
    stop=("Question:", "</s>", "<|im_end|>"),
    verifier="reasoning_gym",
    markers=("answer_is",),
    shown=lambda text: str(json.loads(text)["answer"]),
)


if __name__ == "__main__":
    datasets, source_seed, split_name = json.loads(sys.argv[1])
    try:
        made = [
            row
            for dataset_name, given, number in datasets
            for row in generate(dataset_name, given, number, source_seed, split_name)
        ]
        result: dict[str, Any] = {"rows": made}
    except RestemError as error:
        result = {"error": [error.what, error.where, error.fix]}
    print(f"\n{_RESULT}{json.dumps(result)}")
