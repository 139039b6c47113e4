"""Several processes that train together, one for each GPU, started by torchrun; or a single process."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from threading import Thread
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kit.errors import KitError

_DDP_OPTIONS = signature(DistributedDataParallel).parameters
TIMEOUT = timedelta(minutes=10)  # longer than rank 0 needs to evaluate, short enough not to hang for hours
CONTACT_SECONDS = 90.0  # time in which the GPUs have to answer one another at the start


@dataclass(frozen=True)
class World:
    """The processes that train together: their number and the rank of this one."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, the process that evaluates, writes and prints."""
        return self.rank == 0

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """`model`, wrapped to average its gradients if there are several processes."""
        if self.size == 1:
            return model
        devices = [device.index] if device.type == "cuda" else None
        sync = "forward_sync_buffers" if "forward_sync_buffers" in _DDP_OPTIONS else "broadcast_buffers"  # older torch
        options: dict[str, Any] = {sync: False}
        return DistributedDataParallel(model, device_ids=devices, gradient_as_bucket_view=True, **options)

    def share_buffers(self, *models: nn.Module) -> None:
        """Copy rank 0's BatchNorm statistics to every process, before a save or an evaluation.

        Training steps never read these statistics, so they need not be exchanged at every step.
        """
        if self.size > 1:
            for model in models:
                for buffer in model.buffers():
                    dist.broadcast(buffer, 0)

    def share(self, value: Any) -> Any:
        """Rank 0's `value` on every process. Other ranks may run on machines that cannot read rank 0's files."""
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
        """Whether `flag` is true on any process; the same answer on all. The hosts exchange it, and no GPU waits."""
        return bool(self.total(torch.tensor(float(flag))).item()) if self.size > 1 else flag


ALONE = World()


@contextmanager
def joined_world() -> Iterator[World]:
    """Join the processes that torchrun started, and leave them at the end: gloo connects hosts, NCCL connects GPUs.

    Raises:
        KitError: this machine has fewer GPUs than processes, or the GPUs do not answer one another.
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
    if torch.cuda.is_available():
        check_contact(
            torch.device("cuda", local)
        )  # outside `try`: after a failure, destroying the group would wait for ever
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def check_contact(device: torch.device, seconds: float = CONTACT_SECONDS) -> None:
    """Add up one number over the GPUs, to check that they reach one another.

    NCCL waits for ever if the direct path between two GPUs is blocked, as on some of Kaggle's machines with two T4s.

    Raises:
        KitError: the sum took too long.
    """

    def add_up() -> None:
        total = torch.ones((), device=device)
        dist.all_reduce(total)
        total.item()

    if not _ends_within(seconds, add_up):
        raise KitError(
            f"the GPUs did not answer one another in {seconds:.0f} seconds: set NCCL_P2P_DISABLE=1 in the environment "
            '(in a notebook: `import os; os.environ["NCCL_P2P_DISABLE"] = "1"`) and start again, or use gpus 1'
        )


def _ends_within(seconds: float, work: Callable[[], None]) -> bool:
    """Whether `work` ends in time. It runs in its own thread, which goes on if the time is over."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # raised again below, in the thread that asked
            errors.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return not thread.is_alive()
