"""What is kept of parsed modules gives the same digests, and never those of other code."""

import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts import digests, modules
from restem.artifacts.digests import PACKAGE_ROOT, code_digests
from restem.stages.declaration import stage_names

STAGES = [f"restem.stages.{name}" for name in sorted(stage_names())]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the package, of which nothing is kept yet."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(PACKAGE_ROOT, tmp_path / "restem", ignore=ignored))


def kept(root: Path) -> Path:
    return root / "__pycache__" / f"modules.{sys.implementation.cache_tag}.json"


def in_a_new_process(root: Path) -> dict[str, str]:
    """Return the digests, by a process that remembers nothing."""
    digests._modules.cache_clear()
    digests._read.cache_clear()
    return code_digests(STAGES, root)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the files that are parsed from now on."""
    files: list[str] = []

    def parse(content: bytes, package: str, file: str) -> Any:
        files.append(Path(file).name)
        return real(content, package, file)

    real = modules.parse
    monkeypatch.setattr(modules, "parse", parse)
    return files


def test_nothing_is_parsed_twice(root: Path, parsed: list[str]) -> None:
    first = in_a_new_process(root)
    assert len(parsed) == len([name for name in first if "/" not in name]) > 100
    parsed.clear()
    assert in_a_new_process(root) == first
    assert parsed == []


def test_an_edit_is_seen_that_changes_neither_size_nor_time(root: Path, parsed: list[str]) -> None:
    path = root / "stages" / "samples.py"
    path.write_text(path.read_text() + "\nNUMBER = 1\n")
    before, stat = in_a_new_process(root), path.stat()
    parsed.clear()
    path.write_text(path.read_text().replace("NUMBER = 1", "NUMBER = 2"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = in_a_new_process(root)
    assert {name for name in after if after[name] != before[name]} == {"restem.stages.samples"}
    assert parsed == ["samples.py"]


def test_a_name_that_becomes_a_module_belongs_to_the_code(root: Path) -> None:
    path = root / "stages" / "samples.py"
    path.write_text(path.read_text() + "\nfrom restem.tasks import tomorrow\n")
    before = in_a_new_process(root)
    (root / "tasks" / "tomorrow.py").write_text("VALUE = 1\n")
    assert in_a_new_process(root).keys() - before.keys() == {"restem.tasks.tomorrow"}


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "empty": lambda entries: None,
    "a list": lambda entries: [],
    "no lists": lambda entries: dict.fromkeys(entries, 1),
    "too short": lambda entries: {place: entry[:2] for place, entry in entries.items()},
    "numbers": lambda entries: {place: [1, 2, 3, 4] for place in entries},
    "of other modules": lambda entries: dict(
        zip(entries, reversed(list(entries.values())), strict=True)
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_not_used(root: Path, damage: Callable[[Any], object]) -> None:
    right = in_a_new_process(root)
    kept(root).write_text(json.dumps(damage(json.loads(kept(root).read_text()))))
    assert in_a_new_process(root) == right


def test_half_a_file_is_not_used(root: Path) -> None:
    right = in_a_new_process(root)
    kept(root).write_bytes(kept(root).read_bytes()[:-1000])
    assert in_a_new_process(root) == right
    assert in_a_new_process(root) == right
    json.loads(kept(root).read_bytes())


def test_nothing_counts_that_other_code_has_read(
    root: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = in_a_new_process(root)
    count = len(parsed)
    monkeypatch.setattr(modules, "_parser", lambda: "code of tomorrow")
    assert in_a_new_process(root) == first
    assert len(parsed) == 2 * count


def test_nothing_is_written_where_bytecode_is_not(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    in_a_new_process(root)
    assert not (root / "__pycache__").exists()


def test_a_place_that_cannot_be_written_does_no_harm(root: Path) -> None:
    (root / "__pycache__").write_text("no folder")
    assert in_a_new_process(root) == in_a_new_process(root)


def test_many_who_write_at_once_leave_one_whole_file(root: Path) -> None:
    def read_all() -> None:
        mine = modules.Modules(root)
        for path in sorted((root / "artifacts").glob("*.py")):
            mine.read(path, "restem.artifacts")
        mine.keep()

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=read_all) for _ in range(12)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 12
    assert len(json.loads(kept(root).read_bytes())) == len(list((root / "artifacts").glob("*.py")))
    assert list(kept(root).parent.iterdir()) == [kept(root)]
