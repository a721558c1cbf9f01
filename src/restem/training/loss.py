"""Compute the M-step's objective: Eq. 3's weighted likelihood of targets given prompts.

Minimised is  L = sum_i w_i sum_t a_it * -log p(y_it | x_i, y_i<t), with target tokens t of the
batch's examples i. normalise="token": a_it = 1 / sum_i(w_i T_i), each target token counts the same:
Eq. 3 up to a factor per batch. normalise="example": a_it = 1 / (T_i sum_i w_i), each example counts
the same. Either way weight 2 is the example twice, and weight 0 is the example left out. With
negative weights (TRICE's control variate) the denominators sum their sizes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch.nn.functional import cross_entropy
from transformers import DynamicCache

from restem.training.batches import Batch


def weighted_nll(model: Any, batch: Batch, normalise: Literal["token", "example"]) -> torch.Tensor:
    """Return the batch's loss, a scalar with gradient."""
    predicts = batch.is_target[:, 1:]
    logits = _target_logits(model, batch, predicts)
    losses = cross_entropy(logits, batch.ids[:, 1:][predicts], reduction="none")
    counts = predicts.sum(1)
    row_weights = batch.weights if normalise == "token" else batch.weights / counts
    token_weights = row_weights.repeat_interleave(counts).to(losses.dtype)
    return (token_weights * losses).sum() / token_weights.abs().sum()


def _target_logits(model: Any, batch: Batch, predicts: torch.Tensor) -> torch.Tensor:
    """Return the logits that predict target tokens [targets, vocabulary], row by row."""
    cache = _prefix_cache(model, batch)
    with _projecting_only(model.get_output_embeddings(), predicts):
        # Padding is on the right: no token ever attends to it, so no mask is needed.
        logits: torch.Tensor = model(
            input_ids=batch.ids[:, :-1], past_key_values=cache, use_cache=cache is not None
        ).logits
    return logits


def _prefix_cache(model: Any, batch: Batch) -> Any:
    """Run the shared prefix once and let every row read its keys and values.

    They keep their graph: the gradients of all rows add up in the one prefix, which makes the
    result equal to running the prefix in every row. (A detached prefix would be wrong.)
    """
    if not len(batch.prefix):
        return None
    cache = DynamicCache(config=model.config)
    ids = batch.prefix.unsqueeze(0)
    model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    for layer in cache.layers:
        layer.keys = layer.keys.expand(len(batch.ids), -1, -1, -1)
        layer.values = layer.values.expand(len(batch.ids), -1, -1, -1)
    return cache


@contextmanager
def _projecting_only(projection: torch.nn.Module, chosen: torch.Tensor) -> Iterator[None]:
    """Let the output projection see only the chosen positions of [rows, columns].

    A hook instead of a call of trunk and projection by hand, so that what a model does around its
    projection (scaling, soft caps) stays.
    """

    def select(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return inputs[0][chosen]

    handle = projection.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
