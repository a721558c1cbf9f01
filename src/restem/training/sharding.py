"""Several processes that share out weights and gradients too, by torch's FSDP.

ZeRO stage 3 (Rajbhandari et al. 2020, arXiv 1910.02054; Zhao et al. 2023, arXiv 2304.11277): each
process holds its part of every layer; a layer is whole only while it computes. So all processes run
the same layers in the same order, also in validations, where all sample the same completions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from restem.errors import RestemError
from restem.training.packs import Pack, idle
from restem.training.parallel import Processes


class ShardedProcesses(Processes):
    """The processes that torchrun started, each with its part of every weight."""

    separate_prefix, sharded = False, True

    def __init__(self, device: str, rank: int, size: int) -> None:
        super().__init__(device, rank, size)
        self._mesh = init_device_mesh(torch.device(device).type, (size,))
        self._parameters: dict[str, Any] = {}

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Let one process after the other load a whole model, to limit memory."""
        for _ in range(self.rank):
            distributed.barrier()
        try:
            yield
        finally:
            for _ in range(self.rank, self.size):
                distributed.barrier()

    def place(self, model: Any) -> None:
        """Keep this process's part of a model that all processes have loaded.

        Raises RestemError if the model does not name the modules that are its layers.
        """
        layer_types = set(model._no_split_modules or ())
        layers = [module for module in model.modules() if type(module).__name__ in layer_types]
        if not layers:
            raise RestemError(
                "the model does not say which modules its layers are, so that it would be whole "
                "in every process",
                f"{type(model).__name__}, training.shard",
                "set training.shard to optimizer, or train adapters",
            )
        for module in [*layers, model]:
            fully_shard(module, mesh=self._mesh, reshard_after_forward=True)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)  # the loss is the step's already
                module.set_force_sum_reduction_for_comms(True)  # gloo supports no other one

    def trained_weights(self, model: Any) -> dict[str, torch.Tensor]:
        """Return this process's part of every weight that is trained, by name.

        They share the model's memory. The first forward pass runs here: it allocates the whole
        layers, which must not be inference tensors.
        """
        with torch.no_grad():
            model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=self.device))
        self._parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        parts = {name: p.to_local().detach() for name, p in self._parameters.items()}
        return {name: part.requires_grad_() for name, part in parts.items()}

    def full_weights(self) -> dict[str, torch.Tensor] | None:
        """Return all trained weights, whole, to the first process."""
        weights = {}
        for name, parameter in self._parameters.items():
            whole = parameter.full_tensor().detach()
            if self.rank == 0:
                weights[name] = whole.cpu()
        return weights if self.rank == 0 else None

    def add_idle_passes(self, packs: list[Pack], padded: bool) -> list[Pack]:
        """Add idle passes until this process has as many as any other."""
        count = sum(len(pack.passes) for pack in packs)
        missing = self._reduce(count, distributed.ReduceOp.MAX) - count
        return [*packs, idle(missing, padded)] if missing else packs

    def sum_gradients(self, parameters: Sequence[torch.Tensor]) -> None:
        """Give the parts their gradients, which FSDP has summed over the processes."""
        for part, whole in zip(parameters, self._parameters.values(), strict=True):
            part.grad = None if whole.grad is None else whole.grad.to_local()

    def gradient_norm(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the L2 norm of the gradient, of which each process has its part."""
        square = super().gradient_norm(gradients).double() ** 2
        distributed.all_reduce(square)
        return square.sqrt().float()
