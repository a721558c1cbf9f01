"""A tiny random policy on disk and a tokenizer with tokens of one and two letters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.tiny_models import tiny_llama, word_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return word_tokenizer([*"abcdef #\n", "ab", "cd", "##"], "ab|cd|##|[^<]")


@pytest.fixture(scope="session")
def llama(tokenizer: Any) -> Iterator[Any]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tiny_llama(len(tokenizer), context=64, initializer_range=0.1)
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def base(llama: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base")
    llama.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
