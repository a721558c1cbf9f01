"""Several processes that share out weights and gradients too, by torch's FSDP.

ZeRO stage 3 (Rajbhandari et al. 2020, arXiv 1910.02054; Zhao et al. 2023, arXiv 2304.11277): each
process holds its part of every layer; a layer is whole only while it computes. So all processes
run the same layers in the same order, in validations too, which all of them draw alike.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from restem.errors import RestemError
from restem.training.packs import Pack, idle
from restem.training.parallel import Processes
from restem.training.state import Keeper


class Sharded(Processes):
    """The processes that torchrun started, each with its part of every weight."""

    place, keeps, far_prefixes = 0, True, False

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._mesh = init_device_mesh(torch.device(device).type, (self.size,))
        self._parameters: dict[str, Any] = {}

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Let one process after the other load a whole model."""
        for _ in range(self.rank):
            distributed.barrier()
        try:
            yield
        finally:
            for _ in range(self.rank, self.size):
                distributed.barrier()

    def hold(self, model: Any) -> None:
        """Keep this process's part of a model that all processes have loaded.

        Raises RestemError when the model does not say which modules its layers are.
        """
        layers = set(model._no_split_modules or ())
        parts = [part for part in model.modules() if type(part).__name__ in layers]
        if not parts:
            raise RestemError(
                "the model does not say which modules its layers are, so that it would be whole "
                "in every process",
                f"{type(model).__name__}, training.shard",
                "set training.shard to optimizer, or train adapters",
            )
        for part in [*parts, model]:
            fully_shard(part, mesh=self._mesh, reshard_after_forward=True)
        for part in model.modules():
            if isinstance(part, FSDPModule):
                part.set_gradient_divide_factor(1.0)  # the loss is the step's already
                part.set_force_sum_reduction_for_comms(True)  # gloo knows no other one

    def trained(self, model: Any) -> dict[str, torch.Tensor]:
        """Return this process's part of every weight that is trained, by name.

        They share the model's memory. The first forward pass runs here: torch makes room for whole
        layers in it, which must not be of the kind that inference mode makes.
        """
        with torch.no_grad():
            model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=self.device))
        self._parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        parts = {name: p.to_local().detach() for name, p in self._parameters.items()}
        return {name: part.requires_grad_() for name, part in parts.items()}

    def owner(self, parameters: Sequence[torch.Tensor]) -> list[int]:
        """Return which process updates each parameter: every one its own part."""
        return [self.rank] * len(parameters)

    def level(self, laid_out: list[Pack], padded: bool) -> list[Pack]:
        """Add idle passes until this process has as many as any other."""
        mine = sum(len(pack.passes) for pack in laid_out)
        most = torch.tensor(mine, device=self.device)
        distributed.all_reduce(most, distributed.ReduceOp.MAX)
        missing = int(most) - mine
        return [*laid_out, *([idle(missing, padded)] if missing else [])]

    def sum_gradients(self, parameters: Sequence[torch.Tensor]) -> None:
        """Give the parts their gradients, which FSDP has summed over the processes."""
        for part, whole in zip(parameters, self._parameters.values(), strict=True):
            part.grad = None if whole.grad is None else whole.grad.to_local()

    def norm(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the L2 norm of the gradient, of which each process has its part."""
        square = super().norm(gradients).double() ** 2
        distributed.all_reduce(square)
        return square.sqrt().float()

    def spread(self, parameters: Sequence[torch.Tensor], owners: Sequence[int]) -> None:
        """Leave every process its part."""

    def said(self, speak: Callable[[], float]) -> float:
        """Return what the first process says; all of them speak, for the layers that they share."""
        value = speak()
        return self.total([value if self.rank == 0 else 0.0])[0]

    def gathered(self, value: Any) -> list[Any]:
        """Return a process's own value to it: each saves its part."""
        return [value]

    def own(self, keeper: Keeper) -> Keeper:
        """Return what keeps this process's states, beside those of the others."""
        return replace(keeper, part=f"{self.rank}of{self.size}")

    def least(self, number: int) -> int:
        """Return the least of the processes' numbers."""
        found = torch.tensor(number, device=self.device)
        distributed.all_reduce(found, distributed.ReduceOp.MIN)
        return int(found)

    def meet(self) -> None:
        """Wait for the other processes."""
        distributed.barrier()

    def whole(self) -> dict[str, torch.Tensor] | None:
        """Return all trained weights, whole, to the first process."""
        found = {}
        for name, parameter in self._parameters.items():
            whole = parameter.full_tensor().detach()
            if self.rank == 0:
                found[name] = whole.cpu()
        return found if self.rank == 0 else None
