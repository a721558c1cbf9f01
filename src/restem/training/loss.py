"""Compute the M-step's objective: Eq. 3's weighted likelihood of targets given prompts.

Minimised is  L = sum_i w_i sum_t a_it * -log p(y_it | x_i, y_i<t), with target tokens t of the
step's examples i. normalise="token": a_it = 1 / sum_i(w_i T_i), each target token counts the same:
Eq. 3 up to a factor per step. normalise="example": a_it = 1 / (T_i sum_i w_i), each example counts
the same. Either way weight 2 is the example twice, and weight 0 is the example left out. With
negative weights (TRICE's control variate) the denominators sum their sizes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from restem.errors import RestemError
from restem.training.attention import TREE_ATTENTION, Part, States, Tree, UnknownAttentionError
from restem.training.packs import Pack, Pass


def accumulate(
    model: Any, packs: Sequence[Pack], between: Callable[[], object] = lambda: None
) -> float:
    """Add the gradient of the step's loss to the parameters' and return the loss.

    between: called before every pass; it may raise to give the step up. Passes run one after
    another, so memory is bounded by the longest one and the prefix, not by the step.
    """
    own_attention = not any(one.parts for pack in packs for one in pack.passes)
    # Until the last backward pass is over: checkpointed layers run again in it.
    with nullcontext() if own_attention else _attending_along_trees(model):
        return sum(_pack(model, pack, between) for pack in packs)


def _pack(model: Any, pack: Pack, between: Callable[[], object]) -> float:
    between()
    prefix = _prefix(model, pack.prefix)
    far = {layer: (_leaf(keys), _leaf(values)) for layer, (keys, values) in prefix.items()}
    total = 0.0
    for one in pack.passes:
        between()
        loss = _pass_loss(model, one, far)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    _backward_prefix(prefix, far)
    return total


def _leaf(states: torch.Tensor) -> torch.Tensor:
    """Cut the graph; the gradients of all passes add up in the leaf."""
    return states.detach().requires_grad_(states.requires_grad)


def _prefix(model: Any, ids: torch.Tensor) -> dict[int, States]:
    """Run the shared prefix once; return its keys and values by layer, with their graph.

    The graph is what makes the result equal to running the prefix in every row. (A detached
    prefix would be wrong.)
    """
    if not len(ids):
        return {}
    whole = (0, len(ids))
    positions = torch.arange(len(ids), device=model.device)
    tree = Tree((Part(whole, whole, causal=True),), positions, kept={})
    with _projecting_only(model, torch.zeros(1, dtype=torch.long)):
        _run(model, ids.unsqueeze(0), tree)
    return tree.kept or {}


def _backward_prefix(prefix: dict[int, States], far: dict[int, States]) -> None:
    """Carry the gradients that gathered at the prefix's keys and values on through the prefix."""
    pairs = [
        (whole, leaf.grad)
        for layer, states in prefix.items()
        for whole, leaf in zip(states, far[layer], strict=True)
        if leaf.grad is not None
    ]
    if pairs:
        outputs, gradients = zip(*pairs, strict=True)
        torch.autograd.backward(outputs, gradients)


def _pass_loss(model: Any, one: Pass, far: dict[int, States]) -> torch.Tensor:
    """Return a pass's share of the loss, a scalar with gradient."""
    device = model.device
    with _projecting_only(model, one.sources):
        if one.parts:
            logits = _run(model, one.ids, Tree(one.parts, one.positions[0].to(device), far))
        else:
            logits = model(input_ids=one.ids.to(device), use_cache=False).logits
    wide = logits[0].to(torch.promote_types(logits.dtype, torch.float32))
    losses = cross_entropy(wide, one.labels.to(device), reduction="none")
    return (one.shares.to(device, losses.dtype) * losses).sum()


def _run(model: Any, ids: torch.Tensor, tree: Tree) -> torch.Tensor:
    """Return the logits of one row whose tokens form a tree; raises RestemError."""
    try:
        logits: torch.Tensor = model(
            input_ids=ids.to(model.device),
            position_ids=tree.positions.unsqueeze(0),
            use_cache=False,
            tree=tree,
        ).logits
    except (UnknownAttentionError, TypeError) as error:
        raise _unfit(model) from error
    if tree.read_by != set(range(model.config.get_text_config().num_hidden_layers)):
        raise _unfit(model)
    return logits


@contextmanager
def _attending_along_trees(model: Any) -> Iterator[None]:
    own = model.config._attn_implementation
    model.set_attn_implementation(TREE_ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(own)


def _unfit(model: Any) -> RestemError:
    return RestemError(
        "a layer's attention is not plain causal attention over a row of tokens",
        f"{type(model).__name__}, training.layout",
        "set training.layout to padded, which leaves attention to the model",
    )


@contextmanager
def _projecting_only(model: Any, chosen: torch.Tensor) -> Iterator[None]:
    """Let the output projection see only chosen places of all [rows x columns].

    A hook instead of a call of trunk and projection by hand, so that what a model does around its
    projection (scaling, soft caps) stays. index_select, because its gradient adds in order.
    """
    places = chosen.to(model.device)

    def select(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return inputs[0].flatten(0, 1).index_select(0, places).unsqueeze(0)

    handle = model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
