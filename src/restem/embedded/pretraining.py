"""Pretrain the tiny base models from scratch on the embedded corpus.

Deterministic on one machine with one thread: the same size and seed give the same bytes.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

import torch
import torch.nn.functional as functional

from restem.embedded import knights, programs
from restem.embedded.corpus import CorpusRecipe, Habit, documents
from restem.embedded.tokenizer import build_tokenizer
from restem.libraries import transformers


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a base model besides its seed."""

    layers: int
    heads: int
    tokens: int
    hidden: int
    intermediate: int
    head_size: int = 32
    context: int = 512
    block_tokens: int = 192
    batch_blocks: int = 7
    matrix_rate: float = 0.02
    other_rate: float = 3e-3
    weight_decay: float = 0.05
    warmup_steps: int = 50
    final_rate_share: float = 0.05
    gradient_norm: float = 1.0
    given_weight: float = 0.1  # of prompts: they are random, so learning them is mostly noise
    corpus: CorpusRecipe = field(default_factory=CorpusRecipe)

    @property
    def families(self) -> tuple[str, ...]:
        """Name the families of the corpus."""
        return tuple(name for name, _ in self.corpus.families)

    @property
    def steps(self) -> int:
        """Return the number of optimizer steps for these tokens."""
        return self.tokens // (self.block_tokens * self.batch_blocks)

    def digest(self) -> str:
        """Identify the recipe by its canonical JSON."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


_SMALL: Final = Recipe(layers=3, heads=4, hidden=128, intermediate=352, tokens=2_700_000)
# It takes longer to learn to copy: with 2.4 M tokens seed 0 was rejected (greedy .070).
_LARGE: Final = Recipe(layers=4, heads=6, hidden=192, intermediate=512, tokens=4_000_000)
_PROGRAMS: Final = CorpusRecipe(
    habits=(
        Habit(share=0.06, merging=(-4.0,), slips=0.02),
        Habit(share=0.68, merging=(0.65, -0.4), slips=0.06),
        Habit(share=0.13, merging=(3.0,), slips=0.05),
        Habit(share=0.13, merging=(-2.0,), slips=0.25),
    ),
    textbook_share=0.62,
    families=((programs.FAMILY, 1.0),),
    drill_share=0.0,
)
_LOGIC: Final = CorpusRecipe(
    habits=(
        Habit(share=0.06, merging=(-5.0,), slips=0.02),
        Habit(share=0.70, merging=(-0.9,), slips=0.04),
        Habit(share=0.12, merging=(3.0,), slips=0.05),
        Habit(share=0.12, merging=(-3.0,), slips=0.25),
    ),
    textbook_share=0.55,
    families=((knights.FAMILY, 1.0),),
    drill_share=0.0,
)
RECIPES: Final = {
    "S": _SMALL,
    "L": _LARGE,
    "S-programs": replace(_SMALL, tokens=3_400_000, corpus=_PROGRAMS),
    "L-programs": replace(_LARGE, tokens=2_400_000, corpus=_PROGRAMS),
    "S-logic": replace(_SMALL, tokens=5_200_000, corpus=_LOGIC),
}


class Stream(NamedTuple):
    """Tokens and their weights in the loss, both of shape (steps, blocks, tokens)."""

    tokens: torch.Tensor
    weights: torch.Tensor


def _token_stream(
    tokenizer: transformers.PreTrainedTokenizerFast, recipe: Recipe, seed: int
) -> Stream:
    tokens: list[int] = []
    weights: list[float] = []

    def share_written() -> Iterator[float]:
        while len(tokens) < recipe.tokens:
            yield len(tokens) / recipe.tokens

    for document in documents(recipe.corpus, seed, share_written()):
        for text, is_prompt in [("<bos>", True), *document, ("<eos>", False)]:
            ids = tokenizer(text).input_ids
            tokens += ids
            weights += [recipe.given_weight if is_prompt else 1.0] * len(ids)
    return Stream(*(_blocks(torch.tensor(values), recipe) for values in (tokens, weights)))


def _blocks(values: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    used = recipe.steps * recipe.batch_blocks * recipe.block_tokens
    return values[:used].view(recipe.steps, recipe.batch_blocks, recipe.block_tokens)


def _new_model(
    tokenizer: transformers.PreTrainedTokenizerFast, recipe: Recipe, seed: int
) -> transformers.LlamaForCausalLM:
    torch.manual_seed(seed)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden,
            intermediate_size=recipe.intermediate,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            head_dim=recipe.head_size,
            max_position_embeddings=recipe.context,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _optimizers(
    model: transformers.LlamaForCausalLM, recipe: Recipe
) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(
            matrices, lr=recipe.matrix_rate, weight_decay=recipe.weight_decay, momentum=0.95
        ),
        torch.optim.AdamW(others, lr=recipe.other_rate, weight_decay=0.0, betas=(0.9, 0.95)),
    ]


def rate_share(step: int, recipe: Recipe) -> float:
    """Return the factor of the learning rates: linear warm-up, then cosine decay."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return recipe.final_rate_share + (1 - recipe.final_rate_share) * cosine


def _backward(
    model: transformers.LlamaForCausalLM, tokens: torch.Tensor, weights: torch.Tensor
) -> float:
    # Half precision for matrix products only: weights and updates stay in fp32.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=tokens, use_cache=False).logits
    losses = functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
    )
    target_weights = weights[:, 1:].flatten()
    loss = (losses * target_weights).sum() / target_weights.sum()
    torch.autograd.backward(loss)
    return float(loss.detach())


def _train(
    model: transformers.LlamaForCausalLM,
    stream: Stream,
    recipe: Recipe,
    progress: Callable[[str], object],
) -> float:
    optimizers = _optimizers(model, recipe)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_share(step, recipe))
        for optimizer in optimizers
    ]
    model.train()
    smoothed_loss = 0.0
    for step, (tokens, weights) in enumerate(zip(*stream, strict=True)):
        loss = _backward(model, tokens, weights)
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_norm)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        smoothed_loss = 0.98 * smoothed_loss + 0.02 * loss if step else loss
        if (step + 1) % 100 == 0:
            progress(f"step {step + 1} of {recipe.steps}: loss {smoothed_loss:.3f}")
    return smoothed_loss


def _save(
    model: transformers.LlamaForCausalLM, tokenizer: transformers.PreTrainedTokenizerFast, out: Path
) -> None:
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.eval().to(torch.float16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def pretrain(
    size: str, seed: int, out: Path, progress: Callable[[str], object] = print
) -> dict[str, float]:
    """Pretrain one base model, save it as a half-precision checkpoint and return its figures."""
    torch.set_num_threads(1)
    recipe, started = RECIPES[size], time.process_time()
    tokenizer = build_tokenizer(recipe.families)
    model = _new_model(tokenizer, recipe, seed)
    stream = _token_stream(tokenizer, recipe, seed)
    loss = _train(model, stream, recipe, progress)
    _save(model, tokenizer, out)
    return {
        "parameters": model.num_parameters(),
        "tokens": stream.tokens.numel(),
        "final_loss": round(loss, 4),
        "cpu_seconds": round(time.process_time() - started, 1),
    }
