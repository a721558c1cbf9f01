import pytest
from pydantic import ValidationError

from restem.config.data import EmbeddedSource, HubSource, LocalSource, TaskData

HUB = {"kind": "hub", "id": "openai/gsm8k", "revision": "0123456789" * 4}


def test_the_kind_chooses_the_source():
    assert isinstance(TaskData(source={"kind": "embedded"}).source, EmbeddedSource)
    assert isinstance(TaskData(source={"kind": "local", "directory": "d"}).source, LocalSource)
    assert isinstance(TaskData(source=HUB, shots=0).source, HubSource)


@pytest.mark.parametrize("revision", ["main", "v1.0", "abc123", "0123456789" * 4 + "\n"])
def test_a_revision_that_can_move_is_refused(revision):
    with pytest.raises(ValidationError, match="revision"):
        TaskData(source={**HUB, "revision": revision}, shots=0)


def test_hub_without_prompts_needs_zero_shots():
    with pytest.raises(ValidationError, match=r"source\.prompts"):
        TaskData(source=HUB)
    assert TaskData(source={**HUB, "prompts": "d"}).shots is None


def test_what_a_source_would_ignore_is_refused():
    digest = {"sha256": "0" * 64}
    with pytest.raises(ValidationError, match="expect"):
        TaskData(source={"kind": "embedded"}, expect={"math/train.jsonl.gz": digest})
    with pytest.raises(ValidationError, match="held_out"):
        TaskData(source={"kind": "embedded", "held_out": 5})
    with pytest.raises(ValidationError, match="tests"):
        TaskData(source={"kind": "embedded"}, tests=5)


@pytest.mark.parametrize("key", ["train", "validation", "test", "shots"])
def test_counts_are_not_negative(key):
    with pytest.raises(ValidationError, match=key):
        TaskData(source={"kind": "embedded"}, **{key: -1})
