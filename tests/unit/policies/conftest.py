"""A tiny random checkpoint on disk."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.tiny_models import tiny_llama, word_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return word_tokenizer([*"abcdef #\n", "ab", "cd", "##"], "ab|cd|##|[^<]")


@pytest.fixture
def checkpoint(tokenizer: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    tiny_llama(len(tokenizer), context=64, initializer_range=0.1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
