"""Several processes that fit one policy, each on its share of every step's examples.

Weights are replicated; the optimiser's state is sharded: a parameter belongs to one process, which
alone keeps its moments and updates it (ZeRO stage 1, Rajbhandari et al. 2020, arXiv 1910.02054).
`restem.training.sharding` shards the weights too. `torchrun` starts the processes; what they
compute is the single process's step up to rounding.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as distributed

from restem.training.examples import Encoded
from restem.training.packs import Pack
from restem.training.state import Keeper

# A process waits for the others as long as a validation takes.
_PATIENCE: Final = timedelta(days=2)
_BUCKET: Final = 1 << 24  # numbers in one collective


class Group:
    """The processes of one run; by default this one alone, for which all calls are trivial."""

    rank, size = 0, 1
    device = "cpu"
    far_prefixes = True  # whether a prefix may run by itself, before the passes that share it

    # ---- a model and its weights ----

    def in_turn(self) -> AbstractContextManager[None]:
        """Let the processes load a whole model when there is room for it: all at once."""
        return nullcontext()

    def hold(self, model: Any) -> None:
        """Keep what this process needs of a model that it has loaded: all of it."""
        model.to(self.device)

    def trained(self, model: Any) -> dict[str, torch.Tensor]:
        """Return the weights that are trained, by name."""
        return {name: p for name, p in model.named_parameters() if p.requires_grad}

    def owner(self, parameters: Sequence[torch.Tensor]) -> list[int]:
        """Return which process updates each parameter: the largest first, to the emptiest."""
        loads, owners = [0] * self.size, [0] * len(parameters)
        for place in sorted(range(len(parameters)), key=lambda k: -parameters[k].numel()):
            owners[place] = loads.index(min(loads))
            loads[owners[place]] += parameters[place].numel()
        return owners

    # ---- a step ----

    def part(self, examples: Sequence[Encoded]) -> Sequence[Encoded]:
        """Return this process's share of a step: neighbours by prompt, about as many tokens."""
        if self.size == 1:
            return examples
        order = sorted(examples, key=lambda e: (e.family, e.prompt))
        costs = [len(e.target) + len(e.prompt) // 8 for e in order]
        total, before, found = sum(costs), 0, []
        for example, cost in zip(order, costs, strict=True):
            if (before + cost / 2) * self.size // total == self.rank:
                found.append(example)
            before += cost
        return found

    def level(self, laid_out: list[Pack], padded: bool) -> list[Pack]:
        """Return a step's passes, as many as the other processes need to have beside them."""
        return laid_out

    def sum_gradients(self, parameters: Sequence[torch.Tensor]) -> None:
        """Replace every gradient by its sum over the processes."""

    def norm(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the L2 norm of the whole gradient."""
        return torch.nn.utils.get_total_norm(gradients)

    def spread(self, parameters: Sequence[torch.Tensor], owners: Sequence[int]) -> None:
        """Give every process the parameters that others have updated."""

    # ---- what all processes agree on ----

    def total(self, values: Sequence[float]) -> list[float]:
        """Sum each value over the processes."""
        return list(values)

    def any(self, *flags: bool) -> list[bool]:
        """Tell of each flag whether it is set in any process."""
        return [value > 0 for value in self.total([float(flag) for flag in flags])]

    def said(self, speak: Callable[[], float]) -> float:
        """Return what the first process says."""
        return speak()

    # ---- what is kept, saved and found again ----

    @property
    def keeps(self) -> bool:
        """Tell whether this process keeps the best weights."""
        return self.rank == 0

    def gathered(self, value: Any) -> list[Any]:
        """Return the values of all processes to the first one, none to the others."""
        return [value]

    @property
    def place(self) -> int:
        """Return which of the saved values is this process's."""
        return self.rank

    def own(self, keeper: Keeper) -> Keeper:
        """Return what keeps this process's states."""
        return keeper

    def meet(self) -> None:
        """Wait for the processes that keep states of their own."""

    def least(self, number: int) -> int:
        """Return the least number among processes that keep states of their own."""
        return number

    def whole(self) -> dict[str, torch.Tensor] | None:
        """Return all trained weights to the first process, where no process has them."""
        return None


class Processes(Group):
    """The group that torchrun started."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    def total(self, values: Sequence[float]) -> list[float]:
        """Sum each value over the processes."""
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(summed)
        return [float(value) for value in summed.tolist()]

    def sum_gradients(self, parameters: Sequence[torch.Tensor]) -> None:
        """Replace every gradient by its sum over the processes."""
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets([p.grad for p in parameters if p.grad is not None]):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            distributed.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    def spread(self, parameters: Sequence[torch.Tensor], owners: Sequence[int]) -> None:
        """Give every process the parameters that others have updated."""
        for parameter, owner in zip(parameters, owners, strict=True):
            distributed.broadcast(parameter.detach(), owner)

    def said(self, speak: Callable[[], float]) -> float:
        """Return what the first process says."""
        value = speak() if self.rank == 0 else 0.0
        return self.total([value])[0]

    def gathered(self, value: Any) -> list[Any]:
        """Return the values of all processes to the first one, none to the others."""
        found: list[Any] = [None] * self.size
        distributed.gather_object(value, found if self.rank == 0 else None)
        return found if self.rank == 0 else []


@contextmanager
def group(device: str, shard: str = "optimizer") -> Iterator[Group]:
    """Join the processes that torchrun started, or be the only one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        alone = Group()
        alone.device = device
        yield alone
        return
    own = f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device
    if device == "cuda":
        torch.cuda.set_device(own)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        if shard == "weights":
            from restem.training.sharding import Sharded

            yield Sharded(own)
        else:
            yield Processes(own)
    finally:
        distributed.destroy_process_group()


def _buckets(gradients: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    bucket: list[torch.Tensor] = []
    for gradient in gradients:
        if bucket and sum(g.numel() for g in bucket) + gradient.numel() > _BUCKET:
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
