"""Losses and gradient norms of the shipped model on fixed examples, as once measured.

A change here means that training computes something else than it did: say why in the commit.
"""

from pathlib import Path

import pytest

from restem.config.data import EmbeddedSource
from restem.config.models import EmbeddedModel
from restem.config.training import Training
from restem.policies.sources import embedded
from restem.tasks.registry import load_task
from restem.tasks.sources import Reader
from restem.tasks.task import few_shot_prefix
from restem.training.examples import Example
from restem.training.loop import fine_tune

LOSSES = [0.25742, 0.20342, 0.22144, 0.20114, 0.15861, 0.13772]
NORMS = [1.0663, 0.9039, 0.9777, 1.0673, 0.709, 0.7512]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shipped")
    embedded.fetch(EmbeddedModel(kind="embedded", size="S"), path)
    return path


def examples() -> list[Example]:
    task = load_task("chain")
    reader = Reader(EmbeddedSource(kind="embedded"), {})
    prefix = few_shot_prefix(task, task.load(reader, "shots")[:1])
    return [
        Example(prefix, task.question(problem.question), task.answer(solution), weight)
        for problem in task.load(reader, "train")[:12]
        for solution, weight in zip(problem.solutions.values(), (1.0, 0.5), strict=True)
    ]


@pytest.mark.parametrize("layout", ["tree", "packed", "padded"])
def test_golden_losses(shipped: Path, tmp_path: Path, layout: str) -> None:
    settings = Training(
        learning_rate=4e-4,
        epochs_max=2,
        batch_size=8,
        stop="epochs",
        schedule="cosine",
        layout=layout,
        pass_tokens=512,
    )
    report = fine_tune(shipped, examples(), settings, 0, 1, lambda *_: 0.0, tmp_path / "o", str)
    assert report.losses == pytest.approx(LOSSES, rel=1e-3)
    assert report.gradient_norms == pytest.approx(NORMS, rel=1e-2)
