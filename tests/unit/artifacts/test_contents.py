"""The content digest of an artifact ignores its provenance; files are written atomically."""

import json
import os
from pathlib import Path

import pytest

from restem.artifacts.files import artifact_digest, read_json, write_json, write_text
from restem.artifacts.schemas.evaluation import OVERLAP
from restem.artifacts.tables import table, write_table
from restem.errors import RestemError


def test_the_content_of_a_table_is_its_rows(tmp_path: Path) -> None:
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    write_table(first, OVERLAP, table(OVERLAP, []), {"seconds": 1})
    write_table(second, OVERLAP, table(OVERLAP, []), {"seconds": 2})
    assert first.read_bytes() != second.read_bytes()
    assert artifact_digest(first) == artifact_digest(second)


def test_the_content_of_a_policy_is_that_of_its_weights(tmp_path: Path) -> None:
    write_json(tmp_path / "policy.json", {"content": "abc", "provenance": {"seconds": 1}})
    assert artifact_digest(tmp_path / "policy.json") == "abc"


@pytest.mark.parametrize("text", ['{"content": "same", "x": %d}', '["content", %d]', "[%d]"])
def test_the_content_of_other_json_is_its_bytes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(text % 1)
    before = artifact_digest(path)
    path.write_text(text % 2)
    assert artifact_digest(path) != before


def test_the_content_of_any_other_file_is_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_text("a")
    before = artifact_digest(path)
    path.write_text("b")
    assert artifact_digest(path) != before


@pytest.mark.parametrize("text", ["", "{", "nothing"])
def test_damaged_json_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(RestemError) as caught:
        read_json(path)
    assert str(path) in caught.value.where


def test_json_is_written_readably_with_sorted_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "a.json", {"b": "é", "a": 1})
    assert (tmp_path / "new" / "a.json").read_text() == '{\n  "a": 1,\n  "b": "é"\n}\n'
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == {"a": 1, "b": "é"}


def test_a_failing_write_leaves_the_old_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
