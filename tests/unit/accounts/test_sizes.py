"""Sizes of splits: measured where the data is, stated by the sources where it is not."""

from pathlib import Path
from typing import Any

import pytest

from restem.accounts.sizes import TYPICAL, is_here, size_of, stated
from restem.config.data import TaskData
from restem.config.load import load_study, read_yaml
from restem.errors import RestemError
from restem.tasks.registry import load_task

CONFIG = Path(__file__).parents[3] / "config"
EVERY = ("math", "gsm8k", "apps", "humaneval", "mbpp", "leetcode", "bbh_cot", "bbh_direct")


def public(module: str, **changes: Any) -> TaskData:
    study = {
        **read_yaml(CONFIG / "demo.yaml"),
        "tasks": {"t": {"module": module, "data": changes}},
        "variants": {},
        "evaluations": [{"task": "t", "split": "test", "decoding": "greedy"}],
        "figures": [],
    }
    return load_study(study, CONFIG).tasks["t"].data


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("RESTEM_CACHE", str(tmp_path / "restem"))


@pytest.mark.parametrize(
    ("module", "split", "changes", "problems"),
    [
        ("math", "train", {}, 7000),
        ("math", "validation", {}, 500),
        ("math", "validation", {"validation": 100}, 100),
        ("math", "test", {}, 5000),
        ("math", "train", {"train": 64, "levels": [1]}, 64),
        ("gsm8k", "train", {"train": 0}, 0),
        ("apps", "train", {}, 2398 - 200),
        ("apps", "test", {}, 1000),
        ("bbh_cot", "test", {}, 6511),
        ("hungarian", "test", {"test": 40}, 33),
    ],
)
def test_without_data_the_number_of_problems_is_what_the_source_states(
    module: str, split: Any, changes: dict[str, Any], problems: int
) -> None:
    size = size_of(load_task(module), public(module, **changes), split)
    assert (size.problems, size.measured) == (problems, False)


def test_no_prompt_and_fewer_shots_count() -> None:
    def prefix(shots: int | None) -> float:
        return size_of(load_task("math"), public("math", shots=shots), "test").prefix

    assert prefix(0) == 0
    assert prefix(1) == prefix(4) / 4
    assert prefix(None) == prefix(4) == TYPICAL["math"].prefix


@pytest.mark.parametrize("changes", [{"levels": [1]}, {"subjects": ["Algebra"]}])
def test_what_only_the_data_can_tell_says_what_to_fetch(changes: dict[str, Any]) -> None:
    with pytest.raises(RestemError, match="not known before math is read") as error:
        size_of(load_task("math"), public("math", **changes), "train")
    assert "restem data fetch" in error.value.fix


def test_a_source_that_states_no_rows_needs_a_number_or_the_data() -> None:
    hub = {"kind": "hub", "id": "a/b", "revision": "0" * 40, "files": {"test": {"x.jsonl": None}}}
    assert size_of(load_task("gsm8k"), public("gsm8k", source=hub, shots=0, test=7), "test")
    with pytest.raises(RestemError, match="not known"):
        size_of(load_task("gsm8k"), public("gsm8k", source=hub, shots=0), "test")


def test_nothing_is_downloaded_to_know_whether_data_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("subprocess.run", None)
    monkeypatch.setattr("socket.socket.connect", None)
    for module in EVERY:
        assert not is_here(load_task(module), public(module), "test")
    assert is_here(load_task("chain"), public("chain"), "test")


@pytest.mark.parametrize("module", EVERY)
def test_typical_lengths_are_those_of_the_benchmarks(module: str, real_data: Path) -> None:
    local = {"kind": "local", "directory": str(real_data), "held_out": 0}
    task, split = load_task(module), "test"
    measured = size_of(task, TaskData.model_validate({"source": local}), split)  # type: ignore[arg-type]
    typical = stated(task, public(module), split)  # type: ignore[arg-type]
    assert measured.measured and not typical.measured
    assert typical.prefix == pytest.approx(measured.prefix, rel=0.02)
    tolerance = 0.5 if module == "leetcode" else 0.1  # its test questions are longer
    assert typical.question == pytest.approx(measured.question, rel=tolerance)
