"""Learner: a network with all that changes while it trains; what a checkpoint holds."""

import warnings
from collections.abc import Iterator, Sequence
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
from kit.system.precision import COMPILE, autocast, precision
from kit.train.distributed import ALONE, World
from kit.train.optimizers import build_ema, build_optimizer, build_schedule
from kit.train.streams import stream

COMPILE_PAYS_FROM = 3_000_000  # images to train on, below which compiling takes longer than it saves


class Learner:
    """Network, optimizer, schedule, scaler and averaged weights of one training, with the number of steps done.

    Args:
        recipe: what to build.
        classes: number of classes.
        epoch_steps: the number of steps of each epoch, for the schedule.
        device: where to compute.
        amp: one of kit.precision.PRECISIONS.
        compile: auto, on or off; `auto` compiles on GPUs where the run is long enough to pay for it.
        world: the processes that train together.

    Raises:
        KitError: `compile` is none of these, or the network cannot be built.
    """

    def __init__(self, recipe: Recipe, classes: int, epoch_steps: Sequence[int], device: torch.device,
                 amp: str = "auto", compile: str = "auto", world: World = ALONE):  # fmt: skip
        if compile not in COMPILE:
            raise KitError(f"compile has to be one of {', '.join(COMPILE)}, not {compile!r}")
        self.recipe, self.device, self.amp, self.world = recipe, device, amp, world
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # training batches have one shape: time its algorithms once
        torch.manual_seed(recipe.seed)
        self.model = build(recipe.architecture, classes=classes).to(device, memory_format=torch.channels_last)
        self.forward = self.world.wrap(self.model, device)
        self.optimizer = build_optimizer(recipe, self.model, precision(device, amp))
        self.schedule = build_schedule(recipe, self.optimizer, epoch_steps)
        half = precision(device, amp) == torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=half)
        self.ema = build_ema(recipe, self.model)
        self.steps = 0
        self.totals = torch.zeros(5, dtype=torch.float64, device=device)  # loss, hits, images, gradient norm, its steps
        images = sum(epoch_steps) * recipe.batch_size
        pays = device.type == "cuda" and images >= COMPILE_PAYS_FROM
        self.compiled = compile == "on" or (compile == "auto" and pays)
        if self.compiled:
            self._compile()

    def fit_stem(self, images: Tensor) -> None:
        """Set a whitening stem from training images, uint8 (n, 3, 32, 32); other stems take nothing from them."""
        if isinstance(self.model.stem, WhiteningStem):
            self.model.stem.fit(normalize(images.to(self.device)))
            fitted = {name: tensor.cpu() for name, tensor in self.model.stem.state_dict().items()}
            fitted = self.world.share(fitted)  # machines may give eigenvectors other signs
            for network in self.networks:
                network.stem.load_state_dict(fitted)

    def _compile(self) -> None:
        alone_on_gpu = self.device.type == "cuda" and self.world.size == 1
        self._eager = self.forward
        self.forward = torch.compile(self.forward, mode="reduce-overhead" if alone_on_gpu else "default")
        self.step = self._first_compiled_step

    def _first_compiled_step(self, images: Tensor, targets: Tensor) -> Tensor:
        """Compilation happens at the first call; where it fails, go on without it."""
        del self.step
        before = [b.clone() for b in self.model.buffers()]
        try:
            return self.step(images, targets)
        except Exception as error:  # compilers fail in too many ways to name
            if isinstance(error, torch.OutOfMemoryError):
                raise
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            print(f"torch.compile failed, so training goes on without it ({reason})", flush=True)
            self.forward, self.compiled = self._eager, False
            for buffer, old in zip(self.model.buffers(), before, strict=True):
                buffer.copy_(old)
            self.optimizer.zero_grad()
            return self.step(images, targets)

    def step(self, images: Tensor, targets: Tensor) -> Tensor:
        """One step of training, without waiting for the device; in fp16 GradScaler may wait for its own answer.

        Args:
            images: float32 (n, 3, 32, 32), normalised.
            targets: int64 (n,) classes or float32 (n, classes) shares.

        Returns:
            The logits before the step, float32 (n, classes).
        """
        if self.recipe.dropout:  # dropout alone draws from the device: seeded by the step, a resume draws the same
            torch.manual_seed(stream("dropout", self.recipe.seed, self.steps, self.world.rank).initial_seed())
        if not self.model.training:
            self.model.train()
        with autocast(self.device, self.amp):
            logits = self.forward(images)
        logits = logits.float()
        loss = F.cross_entropy(logits, targets, label_smoothing=self.recipe.label_smoothing)
        loss = loss * self.recipe.copies  # RegMixup adds two mean losses; this is the mean over both batches
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self._advance_schedule()
        if self.ema is not None:
            self.ema.update()
        self.steps += 1
        logits = logits.detach()
        self._count(logits, loss.detach(), norm, targets)
        return logits

    def _advance_schedule(self) -> None:
        with warnings.catch_warnings():  # torch mistakes a first step that GradScaler skips for a wrong order
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
            self.schedule.step()

    def _count(self, logits: Tensor, loss: Tensor, norm: Tensor, targets: Tensor) -> None:
        classes = targets.argmax(1) if targets.is_floating_point() else targets
        hits = (logits.argmax(1) == classes).sum()
        images = torch.full_like(loss, len(logits))
        taken = norm.isfinite()  # GradScaler skips a step of infinite gradients, and halves its scale
        norm = torch.where(taken, norm, 0)
        self.totals += torch.stack([loss * images, hits.to(loss), images, norm, taken.to(loss)])

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
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema is not None else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        self.steps = state["steps"]
        if self.world.leads:  # the totals are those of all processes together
            self.totals.copy_(state["totals"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if state["scaler"]:  # empty where the run began without fp16
            self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
