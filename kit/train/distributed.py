"""Several processes, one a GPU, as torchrun starts them; one process is a world of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kit.errors import KitError

_DDP_OPTIONS = signature(DistributedDataParallel).parameters
TIMEOUT = timedelta(minutes=10)  # longer than the first rank needs to evaluate, short enough not to hang for hours


@dataclass(frozen=True)
class World:
    """This process's place among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process evaluates, writes and prints: rank 0."""
        return self.rank == 0

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """`model` with gradients averaged over the processes, where there are several."""
        if self.size == 1:
            return model
        devices = [device.index] if device.type == "cuda" else None
        sync = "forward_sync_buffers" if "forward_sync_buffers" in _DDP_OPTIONS else "broadcast_buffers"  # older torch
        return DistributedDataParallel(model, device_ids=devices, **{sync: False})

    def share_buffers(self, *models: nn.Module) -> None:
        """Give every process rank 0's BatchNorm statistics, as before every save and evaluation.

        Training steps never read them, so they need no exchange at each step.
        """
        if self.size > 1:
            for model in models:
                for buffer in model.buffers():
                    dist.broadcast(buffer, 0)

    def share(self, value: Any) -> Any:
        """Rank 0's `value` on every process: its files may be on another machine's disk."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, 0)
        return values[0]

    def total(self, value: Tensor) -> Tensor:
        """The sum of `value` over the processes."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def any(self, flag: bool) -> bool:
        """Whether any process says so; every process gets the same answer. The hosts agree, no GPU waits."""
        return bool(self.total(torch.tensor(float(flag))).item()) if self.size > 1 else flag


ALONE = World()


@contextmanager
def joined_world() -> Iterator[World]:
    """Join the processes that torchrun started, and leave them at the end: gloo for hosts, NCCL for GPUs.

    Raises:
        KitError: there are more processes on this machine than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield ALONE
        return
    backend = "gloo"
    if torch.cuda.is_available():
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= gpus:
            raise KitError(f"nproc_per_node has to be at most {gpus}, the GPUs of this machine")
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
