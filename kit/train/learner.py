"""Learner: a network with all that changes while it trains; what a checkpoint holds."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from kit.augment import normalize
from kit.errors import KitError
from kit.lookahead import Lookahead
from kit.model import WhiteningStem, build
from kit.recipe import Recipe
from kit.system.precision import COMPILE, precision
from kit.train.averages import build_ema
from kit.train.distributed import ALONE, World
from kit.train.optimizers import build_optimizer
from kit.train.schedule import Schedule
from kit.train.selection import Selection
from kit.train.stepping import Stepper
from kit.train.streams import stream

COMPILE_PAYS_FROM = 3_000_000  # images to train on, below which compiling takes longer than it saves


class Learner:
    """Network, optimizer, schedule, scaler and averaged weights of one training, with the number of steps done.

    Attributes:
        steps: how many steps are done.
        compiled: whether torch.compile makes the kernels of forward and backward pass.

    Args:
        recipe: what to build.
        classes: number of classes.
        epoch_steps: the number of steps of each epoch, for the schedule.
        device: where to compute.
        amp: one of kit.system.precision.PRECISIONS.
        compile: `on` makes faster kernels with torch.compile, which takes a minute or more at the start; `off` does
            not; `auto` does it on GPUs if the run is long enough to gain from it. Without it a GPU still replays the
            whole step from a CUDA graph.
        world: the processes that train together.
        selection: takes note of the loss of every image, if the recipe leaves out easy ones.

    Raises:
        KitError: `compile` is none of these, or the network cannot be built.
    """

    def __init__(self, recipe: Recipe, classes: int, epoch_steps: Sequence[int], device: torch.device,
                 amp: str = "auto", compile: str = "auto", world: World = ALONE,
                 selection: Selection | None = None):  # fmt: skip
        if compile not in COMPILE:
            raise KitError(f"compile has to be one of {', '.join(COMPILE)}, not {compile!r}")
        self.recipe, self.device, self.amp, self.world = recipe, device, amp, world
        self.dtype = precision(device, amp)
        torch.manual_seed(recipe.seed)
        self.model = build(recipe.architecture, classes=classes).to(device, memory_format=torch.channels_last)
        self.forward = self.world.wrap(self.model, device)
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
        self._loss, self._count = self._compile() if self.compiled else (self._plain_loss, _count)
        self._stepper = Stepper(self, captures=device.type == "cuda" and world.size == 1)

    @property
    def captured(self) -> bool:
        """Whether CUDA graphs run the steps."""
        return self._stepper.captures

    @property
    def rate(self) -> float:
        """The learning rate of the next step; of several groups of parameters, that of the first."""
        return self.schedule.rates(self.steps)[0]

    def fit_stem(self, images: Tensor) -> None:
        """Set a whitening stem from training images, uint8 (n, 3, 32, 32); other stems take nothing from them."""
        if isinstance(self.model.stem, WhiteningStem):
            self.model.stem.fit(normalize(images.to(self.device)))
            fitted = {name: tensor.cpu() for name, tensor in self.model.stem.state_dict().items()}
            fitted = self.world.share(fitted)  # machines may give eigenvectors other signs
            for network in self.networks:
                network.stem.load_state_dict(fitted)

    def step(self, images: Tensor, targets: Tensor, rows: Tensor | None = None) -> Tensor:
        """Train on one batch, without waiting for the device.

        Args:
            images: float32 (n, 3, 32, 32), normalised.
            targets: int64 (n,), classes, or float32 (n, classes), shares.
            rows: int64 (n,), the places of the images in the training set; needed if the recipe leaves out easy ones.

        Returns:
            The logits before the step, float32 (n, classes). On a GPU the next step may overwrite them.
        """
        if self.recipe.dropout:  # dropout alone draws on the device: seeded by the step, a resumed run draws the same
            torch.manual_seed(stream("dropout", self.recipe.seed, self.steps, self.world.rank).initial_seed())
        if not self.model.training:
            self.model.train()
        self.schedule.set(self.steps)
        batch = (images, targets) if self.selection is None or rows is None else (images, targets, rows)
        logits = self._stepper(*batch)
        self.steps += 1
        return logits

    def work(self, images: Tensor, targets: Tensor, rows: Tensor | None = None) -> Tensor:
        """The part of a step that the device does, and that CUDA graphs record; returns the logits."""
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
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self.forward(images)
        logits = logits.float()
        loss = F.cross_entropy(logits, targets, label_smoothing=self.recipe.label_smoothing)
        return loss * self.recipe.copies, logits  # RegMixup adds two mean losses; this is the mean over both batches

    def _optimize(self, norm: Tensor) -> None:
        """Move the weights. After infinite gradients (fp16) the optimizer skips the step on the device.

        The host does not know of it, so Lookahead counts a skipped step as one of its k. GradScaler.step would leave it
        out, but waits for the device at every step.
        """
        if self.scaler.is_enabled():
            inner = self.optimizer.optimizer if isinstance(self.optimizer, Lookahead) else self.optimizer
            inner.grad_scale, inner.found_inf = None, (~norm.isfinite()).float()
        self.optimizer.step()
        self.scaler.update()

    def _compile(self) -> tuple[Callable, Callable]:
        """The compiled forms of loss and count. Several GPUs compile the network alone, which averages gradients."""
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
        """The host's part before a step; whether Lookahead's slow weights move in it."""
        if not isinstance(self.optimizer, Lookahead):
            return False
        self.optimizer.prepare_step()
        return self.optimizer.ends_cycle

    def count_replayed_step(self) -> None:
        """The host's part after a step that a CUDA graph ran."""
        if isinstance(self.optimizer, Lookahead):
            self.optimizer.count_replayed_step()

    def remember(self) -> Callable[[], None]:
        """A function that takes back what a step changed that failed before its optimizer."""
        tensors = [*self.model.buffers(), self.totals]
        values = [tensor.clone() for tensor in tensors]
        counter = self.optimizer.counter if isinstance(self.optimizer, Lookahead) else 0

        def restore() -> None:
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)
            self.optimizer.zero_grad()
            if isinstance(self.optimizer, Lookahead):
                self.optimizer.counter = counter
            if self.scaler.is_enabled():  # it remembers how far the step came
                state, self.scaler = self.scaler.state_dict(), torch.amp.GradScaler(self.device.type)
                self.scaler.load_state_dict(state)

        return restore

    def take_totals(self) -> dict[str, float]:
        """Mean loss, accuracy in % and gradient norm since the last call, over all processes; waits for the device."""
        loss, hits, images, norm, taken = self.world.total(self.totals.clone()).tolist()
        self.totals.zero_()
        return {
            "train_loss": loss / images,
            "train_accuracy": 100 * hits / images,
            "grad_norm": norm / max(taken, 1),
        }

    @property
    def networks(self) -> list[nn.Module]:
        """The network and, where there is one, its average."""
        return [self.model] if self.ema is None else [self.model, self.ema.module]

    def share_buffers(self) -> None:
        """Give every process rank 0's BatchNorm statistics; every process has to call it."""
        self.world.share_buffers(*self.networks)

    @contextmanager
    def weights_to_judge(self) -> Iterator[nn.Module]:
        """The network with the weights that are reported, saved and predict: averaged, else slow, else as they are."""
        slow = isinstance(self.optimizer, Lookahead) and self.ema is None
        with self.optimizer.slow_weights() if slow else nullcontext():
            yield self.ema.module if self.ema is not None else self.model

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain containers that `load_state_dict` continues from exactly; every process has to call it."""
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
        """Continue from what `state_dict` returned."""
        self._stepper.forget()  # the optimizer takes new tensors for its state
        self.steps = state["steps"]
        if self.world.leads:  # the totals are those of all processes together
            self.totals.copy_(state["totals"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty if the run began without fp16
            self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])


def _count(totals: Tensor, logits: Tensor, loss: Tensor, norm: Tensor, classes: Tensor) -> None:
    """Add a step's loss, right answers, images, gradient norm and 1 to `totals`; a skipped step has no norm."""
    hits = (logits.argmax(1) == classes).sum()
    images = torch.full_like(loss, len(logits))
    taken = norm.isfinite()  # an optimizer skips a step of infinite gradients, and the scaler halves its scale
    norm = torch.where(taken, norm, 0)
    totals += torch.stack([loss * images, hits.to(loss), images, norm, taken.to(loss)])


@contextmanager
def _fastest_convolutions(device: torch.device) -> Iterator[None]:
    """Within: cuDNN times its algorithms once per shape. Training has few shapes; prediction may have many."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
