"""Learner: a network with everything that changes while it trains."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import get_total_norm

from kit.augment import normalize
from kit.errors import KitError
from kit.lookahead import Lookahead
from kit.model import ResNet, WhiteningStem, build
from kit.recipe import Recipe
from kit.system.precision import COMPILE, autocast, precision
from kit.train.averages import build_ema
from kit.train.distributed import ALONE, World
from kit.train.optimizers import build_optimizer
from kit.train.randomness import stream
from kit.train.schedule import Schedule
from kit.train.selection import Selection
from kit.train.stepping import Stepper

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # images, targets: mean loss, logits
COMPILE_PAYS_FROM = 3_000_000  # images over all epochs; for fewer, compiling takes longer than it saves


class Learner:
    """Network, optimizer, schedule, gradient scaler and averaged weights of one training.

    Attributes:
        steps: number of steps done.
        compiled: whether forward and backward pass run in kernels from torch.compile.

    Args:
        recipe: describes the network and its training.
        classes: number of classes.
        epoch_steps: the number of steps of each epoch, for the schedule.
        device: where to compute.
        amp: one of kit.system.precision.PRECISIONS.
        compile: `on` makes faster kernels with torch.compile first, which takes a minute or more; `off` starts at once
            with torch's own kernels; `auto` is `on` for long runs on a GPU, which gain more than it costs. With each of
            them, a GPU of its own replays the whole step from CUDA graphs.
        world: the processes that train together.
        selection: records the loss of every image, if the recipe leaves out easy ones.

    Raises:
        KitError: `compile` has another value, or the network cannot be built.
    """

    def __init__(self, recipe: Recipe, classes: int, epoch_steps: Sequence[int], device: torch.device,
                 amp: str = "auto", compile: str = "auto", world: World = ALONE,
                 selection: Selection | None = None):  # fmt: skip
        if compile not in COMPILE:
            raise KitError(f"compile has to be one of {', '.join(COMPILE)}, not {compile!r}")
        self.recipe, self.device, self.amp, self.world = recipe, device, amp, world
        self.dtype = precision(device, amp)
        torch.manual_seed(recipe.seed)
        self.model = build(recipe.architecture, classes=classes).to(device)
        self.model.to(memory_format=torch.channels_last)
        self.forward: Callable[[Tensor], Tensor] = self.world.wrap(self.model, device)
        self.optimizer = build_optimizer(recipe, self.model, self.dtype)
        self.schedule = Schedule(recipe, self.optimizer, epoch_steps)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.ema = build_ema(recipe, self.model)
        self.selection = selection if recipe.skip_easy else None
        self.steps = 0
        self.totals = torch.zeros(5, dtype=torch.float64, device=device)  # loss, hits, images, gradient norm, its steps
        images = sum(epoch_steps) * recipe.batch_size
        pays = device.type == "cuda" and images >= COMPILE_PAYS_FROM
        self.compiled = compile == "on" or (compile == "auto" and pays)
        self._loss: Loss = self._plain_loss
        self._count: Callable[..., None] = _count
        if self.compiled:
            self._loss, self._count = self._compile()
        self._stepper = Stepper(self, captures=device.type == "cuda" and world.size == 1)

    @property
    def captured(self) -> bool:
        """Whether CUDA graphs run the steps."""
        return self._stepper.captures

    @property
    def rate(self) -> float:
        """The learning rate of the next step, for the first group of parameters."""
        return self.schedule.rates(self.steps)[0]

    def fit_stem(self, images: Tensor) -> None:
        """Fit a whitening stem to training images, uint8 (n, 3, 32, 32); other stems need no fitting."""
        if isinstance(self.model.stem, WhiteningStem):
            self.model.stem.fit(normalize(images.to(self.device)))
            fitted = {name: tensor.cpu() for name, tensor in self.model.stem.state_dict().items()}
            fitted = self.world.share(fitted)  # the signs of eigenvectors can differ between machines
            for network in self.networks:
                network.stem.load_state_dict(fitted)

    def step(self, images: Tensor, targets: Tensor, rows: Tensor | None = None) -> Tensor:
        """Train on one batch, without waiting for the device.

        Args:
            images: float32 (n, 3, 32, 32), normalised.
            targets: classes, int64 (n,), or shares, float32 (n, classes).
            rows: int64 (n,), positions of the images in the training set; needed if the recipe leaves out easy ones.

        Returns:
            The logits before the weights move, float32 (n, classes). On a GPU the next step may overwrite them.
        """
        if self.recipe.dropout:  # only dropout draws on the device; seeded at every step, a resumed run draws the same
            torch.manual_seed(stream("dropout", self.recipe.seed, self.steps, self.world.rank).initial_seed())
        if not self.model.training:
            self.model.train()
        self.schedule.set(self.steps)
        batch = (images, targets) if self.selection is None or rows is None else (images, targets, rows)
        logits = self._stepper(*batch)
        self.steps += 1
        return logits

    def work(self, images: Tensor, targets: Tensor, rows: Tensor | None = None) -> Tensor:
        """The device's part of a step, which CUDA graphs record; returns the logits."""
        with _fastest_convolutions(self.device):
            loss, logits = self._loss(images, targets)
            logits, targets = logits.detach(), targets.argmax(1) if targets.is_floating_point() else targets
            self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        self._count(self.totals, logits, loss.detach(), norm, targets)
        if self.selection is not None and rows is not None:
            self.selection.record(rows, logits, targets)
        self._optimize(norm)
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update()
        return logits

    def _plain_loss(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy and logits, float32 (n, classes)."""
        with autocast(self.device, self.dtype):
            logits = self.forward(images)
        logits = logits.float()
        loss = F.cross_entropy(logits, targets, label_smoothing=self.recipe.label_smoothing)
        return (
            loss * self.recipe.copies,
            logits,
        )  # RegMixup adds the mean losses of two batches, this is the mean of both

    def _optimize(self, norm: Tensor) -> None:
        """Move the weights. If gradients are infinite (fp16), the optimizer skips the step on the device.

        The host does not know of a skipped step, so Lookahead counts it as one of its k. GradScaler.step would not
        count it, but it waits for the device at every step.
        """
        if self.scaler.is_enabled():
            inner: Any = self.optimizer.optimizer if isinstance(self.optimizer, Lookahead) else self.optimizer
            inner.grad_scale, inner.found_inf = None, (~norm.isfinite()).float()
        self.optimizer.step()
        self.scaler.update()

    def _compile(self) -> tuple[Loss, Callable[..., None]]:
        """Compiled loss and count. With several GPUs only the network is compiled, which averages its gradients."""
        if self.world.size > 1:
            self._uncompiled_forward = self.forward
            self.forward = torch.compile(self.forward)
            return self._plain_loss, _count
        self._uncompiled_forward = self.forward
        return torch.compile(self._plain_loss, dynamic=False), torch.compile(_count, dynamic=False)

    def stop_compiling(self) -> None:
        """Go on with torch's own kernels."""
        self.compiled, self.forward = False, self._uncompiled_forward
        self._loss, self._count = self._plain_loss, _count

    def before_step(self) -> bool:
        """Do the host's part before a step; return whether Lookahead's slow weights move in it."""
        if not isinstance(self.optimizer, Lookahead):
            return False
        self.optimizer.prepare_step()
        return self.optimizer.ends_cycle

    def count_replayed_step(self) -> None:
        """Do the host's part after a step that a CUDA graph ran."""
        if isinstance(self.optimizer, Lookahead):
            self.optimizer.count_replayed_step()

    def remember(self) -> Callable[[], None]:
        """A function that undoes the changes of a step that fails before the weights move."""
        tensors = [*self.model.buffers(), self.totals]
        values = [tensor.clone() for tensor in tensors]
        counter = self.optimizer.counter if isinstance(self.optimizer, Lookahead) else 0

        def restore() -> None:
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)
            self.optimizer.zero_grad()
            if isinstance(self.optimizer, Lookahead):
                self.optimizer.counter = counter
            if self.scaler.is_enabled():  # it remembers which part of the step is done
                state, self.scaler = self.scaler.state_dict(), torch.amp.GradScaler(self.device.type)
                self.scaler.load_state_dict(state)

        return restore

    def take_totals(self) -> dict[str, float]:
        """Mean loss, accuracy (%) and mean gradient norm of all processes since the last call; waits for the device."""
        loss, hits, images, norm, taken = self.world.total(self.totals.clone()).tolist()
        self.totals.zero_()
        return {
            "train_loss": loss / images,
            "train_accuracy": 100 * hits / images,
            "grad_norm": norm / max(taken, 1),
        }

    @property
    def networks(self) -> list[ResNet]:
        """The network and, if there is one, its average."""
        return [self.model] if self.ema is None else [self.model, self.ema.module]

    def share_buffers(self) -> None:
        """Copy rank 0's BatchNorm statistics to every process; every process has to call it."""
        self.world.share_buffers(*self.networks)

    @contextmanager
    def weights_to_judge(self) -> Iterator[ResNet]:
        """The network with the weights to report and save: averaged ones, else slow ones, else its own."""
        if self.ema is not None:
            yield self.ema.module
        elif isinstance(self.optimizer, Lookahead):
            with self.optimizer.slow_weights():
                yield self.model
        else:
            yield self.model

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain containers, to continue exactly with `load_state_dict`; every process has to call it."""
        self.share_buffers()
        return {
            "steps": self.steps,
            "totals": self.world.total(self.totals.clone()),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema is not None else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the answer of `state_dict`."""
        self._stepper.forget()  # loading replaces the tensors of the optimizer's state
        self.steps = state["steps"]
        if self.world.leads:  # the totals are sums over all processes
            self.totals.copy_(state["totals"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty if the run began without fp16
            self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])


def _count(totals: Tensor, logits: Tensor, loss: Tensor, norm: Tensor, classes: Tensor) -> None:
    """Add a step's loss, right answers, images, gradient norm and 1 to `totals`; a skipped step adds no norm nor 1."""
    hits = (logits.argmax(1) == classes).sum()
    images = torch.full_like(loss, len(logits))
    taken = norm.isfinite()  # if gradients are infinite, the optimizer skips the step and the scaler halves its scale
    norm = torch.where(taken, norm, 0)
    totals += torch.stack([loss * images, hits.to(loss), images, norm, taken.to(loss)])


@contextmanager
def _fastest_convolutions(device: torch.device) -> Iterator[None]:
    """Let cuDNN time its algorithms, once per shape: training has few shapes, but prediction may have many."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
