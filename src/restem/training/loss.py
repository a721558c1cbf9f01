"""Compute the M-step's objective: Eq. 3's weighted likelihood of targets given prompts.

Eq. 3 maximises  E_x E_y [ r(x, y) log p(y | x) ],  and log p(y | x) is the sum over y's tokens. So
all target tokens count the same, times the weight of their example; a solution of twice the length
counts twice. The loss of a step is  L = sum_i w_i sum_t a_it * -log p(y_it | x_i, y_i<t)  over the
target tokens t of its examples i. normalise="token": a_it = 1 / M, where M is the mean over all
examples of w_i T_i (T_i: number of target tokens), times the batch size: Eq. 3 up to this constant.
normalise="example": a_it = 1 / (T_i M), where M is the mean of w_i times the batch size: each
solution counts the same. M is the same in every step, and batches do not depend on lengths, so the
gradients of an epoch add up to that of the whole data. Either way weight 2 means the example twice,
and weight 0 without it. With negative weights (TRICE's control variate) M sums absolute values.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from restem.errors import RestemError
from restem.training.attention import TREE_ATTENTION, UnknownAttentionError
from restem.training.entropy import token_losses
from restem.training.packs import Pack, Pass
from restem.training.tree import Part, States, Tree


def accumulate(
    model: Any, packs: Sequence[Pack], before_pass: Callable[[], object] = lambda: None
) -> float:
    """Add the gradient of a step's loss to the parameters' gradients and return the loss.

    before_pass: called before every pass; it may raise to abandon the step. Passes run one after
    another, so the longest one and the prefix limit the memory, not the step.
    """
    own_attention = not any(one_pass.parts for pack in packs for one_pass in pack.passes)
    # Until the last backward pass is done: checkpointed layers run again in it.
    with nullcontext() if own_attention else _tree_attention(model):
        return sum(_pack(model, pack, before_pass) for pack in packs)


def _pack(model: Any, pack: Pack, before_pass: Callable[[], object]) -> float:
    before_pass()
    prefix = _run_prefix(model, pack.prefix)
    far = {layer: (_leaf(keys), _leaf(values)) for layer, (keys, values) in prefix.items()}
    total = 0.0
    for one_pass in pack.passes:
        before_pass()
        loss = _pass_loss(model, one_pass, far)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    _backward_prefix(prefix, far)
    return total


def _leaf(states: torch.Tensor) -> torch.Tensor:
    """Detach from the graph; the gradients of all passes add up in the leaf."""
    return states.detach().requires_grad_(states.requires_grad)


def _run_prefix(model: Any, ids: torch.Tensor) -> dict[int, States]:
    """Run the shared prefix once; return its keys and values by layer, with their graph.

    The graph makes the result equal to running the prefix in every row; a detached prefix would
    give another gradient.
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
    """Propagate the gradients of the prefix's keys and values back through the prefix."""
    pairs = [
        (whole, leaf.grad)
        for layer, states in prefix.items()
        for whole, leaf in zip(states, far[layer], strict=True)
        if leaf.grad is not None
    ]
    if pairs:
        outputs, gradients = zip(*pairs, strict=True)
        torch.autograd.backward(outputs, gradients)


def _pass_loss(model: Any, one_pass: Pass, far: dict[int, States]) -> torch.Tensor:
    """Return a pass's share of the loss, a scalar with gradient."""
    device = model.device
    with _projecting_only(model, one_pass.sources):
        if one_pass.parts:
            tree = Tree(one_pass.parts, one_pass.positions[0].to(device), far)
            logits = _run(model, one_pass.ids, tree)
        else:
            logits = model(input_ids=one_pass.ids.to(device), use_cache=False).logits
    losses = token_losses(logits.squeeze(0), one_pass.labels.to(device))
    return (one_pass.shares.to(device, losses.dtype) * losses).sum()


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
        raise _unsupported(model) from error
    if tree.read_by != set(range(model.config.get_text_config().num_hidden_layers)):
        raise _unsupported(model)
    return logits


def follows_trees(model: Any) -> bool:
    """Tell whether a model's layers can attend along trees, by a pass over two tokens."""
    whole = (0, 2)
    ids = torch.zeros(1, 2, dtype=torch.long)
    tree = Tree((Part(whole, whole, causal=True),), torch.arange(2, device=model.device))
    try:
        with torch.no_grad(), torch.random.fork_rng(), _tree_attention(model):
            _run(model, ids, tree)
    except RestemError:
        return False
    return True


def _unsupported(model: Any) -> RestemError:
    return RestemError(
        "a layer's attention is not plain causal attention over a row of tokens",
        f"{type(model).__name__}, training.layout",
        "set training.layout to padded, which leaves attention to the model",
    )


@contextmanager
def _tree_attention(model: Any) -> Iterator[None]:
    own = model.config._attn_implementation
    model.set_attn_implementation(TREE_ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(own)


@contextmanager
def _projecting_only(model: Any, places: torch.Tensor) -> Iterator[None]:
    """Apply the output projection only to some flat places of all [rows x columns].

    A hook instead of separate calls of trunk and projection, so that what a model does around its
    projection (scaling, soft caps) stays. index_select, because its gradient adds in order.
    """
    index = places.to(model.device)

    def select(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return inputs[0].flatten(0, 1).index_select(0, index).unsqueeze(0)

    handle = model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
