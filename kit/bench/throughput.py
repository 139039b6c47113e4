"""Throughput of augmentation, training and prediction, beside the paper's own way and the matrix-product peak.

Both ways run in turn, round by round in the same process, so that a machine that slows down slows both. Images are
random bytes unless others are asked for: speed does not depend on what they show.
"""

import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor

from kit.bench.paperway import PaperWay
from kit.data import load
from kit.errors import KitError
from kit.model import flops
from kit.parameters import BenchSettings
from kit.predict import predict
from kit.recipe import Recipe
from kit.run import describe_machine
from kit.system.allocator import freed_memory_kept
from kit.system.precision import default_device, precision
from kit.train import Batches, Learner

EPOCH_IMAGES = 50_000
SMALL_LR = 0.001  # costs the same as any other, and random labels cannot drive the network to NaN with it
PHASES = ("augment", "train", "predict")


class Bench:
    """The kit's way and the paper's way of the paper's recipe, ready to be timed on the default device.

    A round of training takes about `settings.seconds`, four steps at least and an epoch at most.

    Raises:
        KitError: `arch` or `batch_size` cannot be used.
    """

    def __init__(self, settings: BenchSettings):
        self.settings, self.device, self.amp = settings, default_device(), settings.amp
        batch_size = settings.batch_size
        self.recipe = Recipe(arch=settings.arch, batch_size=batch_size, lr=SMALL_LR)
        images, labels = _images(settings.data, EPOCH_IMAGES)
        if len(images) < 5 * batch_size:
            raise KitError(f"batch_size has to be at most {len(images) // 5}, so that a round has four steps")
        steps = [EPOCH_IMAGES // batch_size] * self.recipe.epochs
        self.learner = Learner(self.recipe, 10, steps, self.device, self.amp, settings.compile)
        self.paper = PaperWay(self.recipe, self.device)
        self._take(images, labels, 4)
        self._train()  # compiles, and lets libraries choose their algorithms
        step = self._seconds(self._train) / 4
        self._take(images, labels, min(max(4, round(settings.seconds / step)), len(images) // batch_size - 1))

    def _take(self, images: Tensor, labels: Tensor, steps: int) -> None:
        """Let a round have `steps` steps on images of its own."""
        self.steps, count = steps, steps * self.recipe.batch_size
        self.images = images[:count]
        self.batches = Batches(self.images, labels[:count], self.recipe, 10, self.device)
        self.all_images, self.all_labels = images, labels

    def measure(self) -> dict[str, dict[str, Any]]:
        """Figures of each of PHASES: medians over the rounds, and each round's images a second."""
        kit = {"augment": self._augment, "train": self._train, "predict": self._predict}
        paper = {"augment": self._paper_augment, "train": self._paper_train, "predict": self._paper_predict}
        rates: dict[str, list[float]] = {f"{way} {phase}": [] for way in ("kit", "paper") for phase in PHASES}
        peaks: dict[torch.dtype, list[float]] = {precision(self.device, self.amp): [], torch.float32: []}
        for number in range(1, self.settings.rounds + 1):
            print(f"round {number} of {self.settings.rounds}", file=sys.stderr, flush=True)
            for dtype, found in peaks.items():
                found.append(matrix_product_rate(self.device, dtype))
            for phase in PHASES:
                rates[f"kit {phase}"].append(len(self.images) / self._kit_seconds(phase, kit[phase]))
                rates[f"paper {phase}"].append(self._paced(paper[phase]()))
        return {phase: self._figures(phase, rates, {k: median(v) for k, v in peaks.items()}) for phase in PHASES}

    def _figures(self, phase: str, rates: dict[str, list[float]], peaks: dict[torch.dtype, float]) -> dict[str, Any]:
        ours, theirs = median(rates[f"kit {phase}"]), median(rates[f"paper {phase}"])
        figures = {
            "images_per_second": ours,
            "paper_images_per_second": theirs,
            "ratio": ours / theirs,
            "rounds": rates[f"kit {phase}"],
            "paper_rounds": rates[f"paper {phase}"],
            "images_per_round": len(self.images),
        }
        if phase != "augment":
            work = flops(self.learner.model) * (3 if phase == "train" else 1)
            figures |= self._of_peak(ours * work, theirs * work, peaks)
        if phase == "train":
            figures |= {
                "seconds_per_epoch": EPOCH_IMAGES / ours,
                "paper_seconds_per_epoch": EPOCH_IMAGES / theirs,
                "augmentation_share": ours / median(rates["kit augment"]),
            }
        return figures | self._conditions()

    def _of_peak(self, ours: float, theirs: float, peaks: dict[torch.dtype, float]) -> dict[str, float]:
        """FLOP/s of both ways beside the rates of matrix products, in tera."""
        peak, peak_fp32 = peaks[precision(self.device, self.amp)], peaks[torch.float32]
        return {
            "tflops": ours / 1e12,
            "peak_tflops": peak / 1e12,
            "share_of_peak": ours / peak,
            "peak_tflops_fp32": peak_fp32 / 1e12,
            "paper_share_of_peak_fp32": theirs / peak_fp32,
        }

    def _conditions(self) -> dict[str, Any]:
        machine = describe_machine(self.device)
        return {
            "arch": self.recipe.arch,
            "batch_size": self.recipe.batch_size,
            "amp": str(precision(self.device, self.amp)).removeprefix("torch."),
            "compiled": self.learner.compiled,
            "device": machine["device"],
            "threads": machine["threads"],
            "workers": self.paper.workers,
            "torch": torch.__version__,
        }

    def _kit_seconds(self, phase: str, work: Callable[[], None]) -> float:
        """Seconds of a round, memory as kit.train has it; like the paper's, after a first step that is not timed."""
        with freed_memory_kept(self.device):
            if phase == "train":
                images, targets, _rows = next(self.batches.epoch(0))
                self.learner.step(images, targets)
            return self._seconds(work)

    def _augment(self) -> None:
        for _ in self.batches.epoch(0):
            pass

    def _train(self) -> None:
        for images, targets, _rows in self.batches.epoch(0):
            self.learner.step(images, targets)

    def _predict(self) -> None:
        predict(self.learner.model, self.images, amp=self.amp, device=self.device)

    def _paper_augment(self) -> Iterator[int]:
        for images, _labels in self.paper.batches(self.all_images, self.all_labels):
            yield len(images)

    def _paper_train(self) -> Iterator[int]:
        for images, labels in self.paper.batches(self.all_images, self.all_labels):
            self.paper.step(images, labels)
            yield len(images)

    def _paper_predict(self) -> Iterator[int]:
        for images, _labels in self.paper.batches(self.all_images, self.all_labels, training=False):
            self.paper.answers(images)
            yield len(images)

    def _seconds(self, work: Callable[[], None]) -> float:
        self._wait()
        began = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - began

    def _paced(self, batches: Iterator[int]) -> float:
        """Images a second of a round's steps after the first batch, which starts the workers.

        The workers have more images before them than the round takes, so they work on while it lasts, as in training.
        """
        next(batches)
        self._wait()
        began = time.perf_counter()
        images = sum(islice(batches, self.steps))
        self._wait()
        return images / (time.perf_counter() - began)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def matrix_product_rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Floating-point operations a second of square matrix products, the fastest of those made in about `seconds`."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    torch.mm(a, b)
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        began = time.perf_counter()
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return 2 * size**3 / min(times)


def _images(data: str, count: int) -> tuple[Tensor, Tensor]:
    """uint8 images and labels, at most `count`."""
    if data != "random":
        dataset = load(data)
        return dataset.train_images[:count], dataset.train_labels[:count]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.randint(10, (count,), generator=generator)
