"""A tiny random model and a tokenizer whose tokens overlap, to test where texts are joined."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.unit.tiny_models import tiny_llama, word_tokenizer

PAIRS = ["".join(pair) for pair in itertools.product("abc #", repeat=2)]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return word_tokenizer([*"abcdef #\n", *PAIRS], "[abc #]{2}|[^<]")


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model(tokenizer: Any, one_thread: None) -> Any:
    return tiny_llama(len(tokenizer), context=160, initializer_range=0.2)
