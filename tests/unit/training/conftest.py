"""A tiny random policy on disk and a tokenizer with tokens of one and two letters."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>", *"abcdef #\n", "ab", "cd", "##")


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    entries = {token: index for index, token in enumerate(TOKENS)}
    core = Tokenizer(models.WordLevel(entries, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("ab|cd|##|[^<]"), "isolated")
    core.decoder = decoders.Fuse()
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


def tiny_llama(vocabulary: int) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
        initializer_range=0.1,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def llama(tokenizer: Any) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tiny_llama(len(tokenizer))
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def base(llama: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base")
    llama.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
