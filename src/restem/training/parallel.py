"""Several processes that fit one policy, each on its share of every step's examples.

Weights are replicated; the optimiser's state is sharded: a parameter belongs to one process, which
alone keeps its moments and updates it (ZeRO stage 1, Rajbhandari et al. 2020, arXiv 1910.02054).
`restem.training.sharding` shards the weights too. `torchrun` starts the processes; up to rounding,
they compute the step of a single process.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as distributed

from restem.training.examples import Encoded
from restem.training.packs import Pack
from restem.training.state import StateStore

# Processes wait for each other as long as a validation takes.
_TIMEOUT: Final = timedelta(days=2)
_BUCKET: Final = 1 << 24  # numbers in one collective operation


class Processes:
    """The processes of one run that torchrun started, each with all weights; or a single process.

    separate_prefix: whether a prefix may run by itself, before the passes that share it.
    sharded: whether each process has only its part of the weights, and saves a state of its own.
    """

    separate_prefix, sharded = True, False

    def __init__(self, device: str, rank: int = 0, size: int = 1) -> None:
        self.device, self.rank, self.size = device, rank, size

    # ---- a model and its weights ----

    def loading(self) -> AbstractContextManager[None]:
        """Return a context in which the processes load a whole model: here all at once."""
        return nullcontext()

    def place(self, model: Any) -> None:
        """Put this process's part of a loaded model on its device."""
        model.to(self.device)

    def trained_weights(self, model: Any) -> dict[str, torch.Tensor]:
        """Return the weights that are trained, by name; of sharded ones this process's part."""
        return {name: p for name, p in model.named_parameters() if p.requires_grad}

    def owners(self, parameters: Sequence[torch.Tensor]) -> list[int]:
        """Return which process updates each parameter: the largest first, to the least loaded."""
        if self.sharded:
            return [self.rank] * len(parameters)
        loads, owners = [0] * self.size, [0] * len(parameters)
        for place in sorted(range(len(parameters)), key=lambda k: -parameters[k].numel()):
            owners[place] = loads.index(min(loads))
            loads[owners[place]] += parameters[place].numel()
        return owners

    def full_weights(self) -> dict[str, torch.Tensor] | None:
        """Return all trained weights to the first process if they are sharded, else None."""
        return None

    # ---- a step ----

    def share(self, examples: Sequence[Encoded]) -> Sequence[Encoded]:
        """Return this process's share of a step: similar prompts, about as many tokens."""
        if self.size == 1:
            return examples
        order = sorted(examples, key=lambda e: (e.family, e.prompt))
        costs = [len(e.target) + len(e.prompt) // 8 for e in order]
        total, before, share = sum(costs), 0, []
        for example, cost in zip(order, costs, strict=True):
            if (before + cost / 2) * self.size // total == self.rank:
                share.append(example)
            before += cost
        return share

    def add_idle_passes(self, packs: list[Pack], padded: bool) -> list[Pack]:
        """Return a step's passes, with as many as the other processes require."""
        return packs

    def sum_gradients(self, parameters: Sequence[torch.Tensor]) -> None:
        """Replace every gradient by its sum over the processes."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets([p.grad for p in parameters if p.grad is not None]):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            distributed.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    def gradient_norm(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the L2 norm of the whole gradient."""
        return torch.nn.utils.get_total_norm(gradients)

    def send_updates(self, parameters: Sequence[torch.Tensor], owners: Sequence[int]) -> None:
        """Send every parameter from its owner to the other processes."""
        if self.size > 1 and not self.sharded:
            for parameter, owner in zip(parameters, owners, strict=True):
                distributed.broadcast(parameter.detach(), owner)

    # ---- agreement ----

    def total(self, values: Sequence[float]) -> list[float]:
        """Sum each value over the processes."""
        if self.size == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(summed)
        return [float(value) for value in summed.tolist()]

    def any(self, *flags: bool) -> list[bool]:
        """Tell for each flag whether it is set in any process."""
        return [value > 0 for value in self.total([float(flag) for flag in flags])]

    def from_first(self, compute: Callable[[], float]) -> float:
        """Return the first process's value; with sharded weights, all have to compute it."""
        value = compute() if self.sharded or self.rank == 0 else 0.0
        return self.total([value if self.rank == 0 else 0.0])[0]

    # ---- saved states ----

    @property
    def keeps_weights(self) -> bool:
        """Tell whether this process keeps the best weights."""
        return self.sharded or self.rank == 0

    def own_store(self, store: StateStore) -> StateStore:
        """Return the store of this process's states."""
        return replace(store, part=f"{self.rank}of{self.size}") if self.sharded else store

    def gather(self, value: Any) -> list[Any]:
        """Return the values that this process saves: the first one those of all, or its own."""
        if self.size == 1 or self.sharded:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.gather_object(value, values if self.rank == 0 else None)
        return values if self.rank == 0 else []

    def own_value(self, gathered: Sequence[Any]) -> Any:
        """Return this process's value among those that were gathered."""
        return gathered[0 if self.sharded else self.rank]

    def wait_for_states(self) -> None:
        """Wait until all processes with states of their own have saved."""
        if self.sharded:
            distributed.barrier()

    def minimum(self, number: int) -> int:
        """Return the minimum over the processes with states of their own."""
        return self._reduce(number, distributed.ReduceOp.MIN) if self.sharded else number

    def _reduce(self, number: int, operation: Any) -> int:
        tensor = torch.tensor(number, device=self.device)
        distributed.all_reduce(tensor, operation)
        return int(tensor)


@contextmanager
def join_processes(device: str, shard: str = "optimizer") -> Iterator[Processes]:
    """Join the processes that torchrun started, or be a single one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(device)
        return
    own_device = f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device
    if device == "cuda":
        torch.cuda.set_device(own_device)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        rank, size = distributed.get_rank(), distributed.get_world_size()
        if shard == "weights":
            from restem.training.sharding import ShardedProcesses

            yield ShardedProcesses(own_device, rank, size)
        else:
            yield Processes(own_device, rank, size)
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
