"""A pin keeps what is intact; one that cannot be read is named with the way out."""

from pathlib import Path

import pytest

from restem.artifacts.pins import is_pinned, pin, pins, unpin
from restem.artifacts.seals import state_path
from restem.errors import RestemError
from tests.unit.artifacts.example_stage import ExampleStage


def test_an_edited_artifact_is_not_pinned(tmp_path: Path) -> None:
    stage = ExampleStage(tmp_path)
    stage.make()
    stage.weights.write_text("others")
    with pytest.raises(RestemError, match="not as it was sealed"):
        pin(stage.file, "expensive")
    assert not is_pinned(stage.file)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_damaged_pin_is_named_and_can_be_removed(tmp_path: Path, text: str) -> None:
    stage = ExampleStage(tmp_path)
    stage.make()
    pin(stage.file, "expensive")
    assert [(path, entry["reason"]) for path, entry in pins(tmp_path)] == [
        (stage.file, "expensive")
    ]
    state_path(stage.file, "pin.json").write_text(text)
    with pytest.raises(RestemError) as caught:
        list(pins(tmp_path))
    assert f"restem unpin {stage.file}" in caught.value.fix
    unpin(stage.file)
    assert not is_pinned(stage.file)
    assert list(pins(tmp_path)) == []
