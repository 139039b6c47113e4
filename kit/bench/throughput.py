"""Throughput of augmentation, training and prediction, beside the paper's own way and the matrix-product peak.

Both ways run in turn, round by round in the same process: if the machine slows down, it slows both. Images are random
bytes unless `data` names others: speed does not depend on what they show.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor

from kit.bench.paperway import PaperWay
from kit.bench.prediction import card_named, predict_epoch
from kit.data import load
from kit.errors import KitError
from kit.model import flops
from kit.parameters import BenchSettings
from kit.predict import predict
from kit.recipe import Recipe
from kit.run import describe_machine
from kit.system.allocator import freed_memory_kept
from kit.system.precision import default_device, precision
from kit.system.progress import quiet
from kit.train import CHUNK_IMAGES, PASSES, Batches, Learner

EPOCH_IMAGES = 50_000
AUGMENTED_CHUNKS = 4  # whole chunks of augmentation in a round, at least: a part of one has the launches of a whole one
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
        _tell("preparing both ways, and choosing how many steps a round has")
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
        chunk = max(CHUNK_IMAGES // self.recipe.batch_size, 1) * self.recipe.batch_size
        many = min(max(count, AUGMENTED_CHUNKS * chunk), len(images) // chunk * chunk or count)
        self.to_augment = Batches(images[:many], labels[:many], self.recipe, 10, self.device)
        self.all_images, self.all_labels = images, labels

    def measure(self) -> dict[str, dict[str, Any]]:
        """Figures of each of PHASES: medians over the rounds, and each round's images a second."""
        kit = {"augment": self._augment, "train": self._train, "predict": self._predict}
        paper = {"augment": self._paper_augment, "train": self._paper_train, "predict": self._paper_predict}
        rates: dict[str, list[float]] = {f"{way} {phase}": [] for way in ("kit", "paper") for phase in PHASES}
        peaks: dict[str, list[float]] = {"kit": [], "paper": []}
        images = {"augment": len(self.to_augment.images), "train": len(self.images), "predict": len(self.images)}
        for number in range(1, self.settings.rounds + 1):
            peaks["kit"].append(matrix_product_rate(self.device, precision(self.device, self.amp)))
            peaks["paper"].append(matrix_product_rate(self.device, torch.float32))
            for phase in PHASES:
                _tell(f"round {number} of {self.settings.rounds}: {phase}")
                rates[f"kit {phase}"].append(images[phase] / self._kit_seconds(phase, kit[phase]))
                rates[f"paper {phase}"].append(self._paced(paper[phase]()))
        medians = {way: median(values) for way, values in peaks.items()}
        return {phase: self._figures(phase, rates, medians) | {"images_per_round": images[phase]} for phase in PHASES}

    def _figures(self, phase: str, rates: dict[str, list[float]], peaks: dict[str, float]) -> dict[str, Any]:
        ours, theirs = median(rates[f"kit {phase}"]), median(rates[f"paper {phase}"])
        figures = {
            "images_per_second": ours,
            "paper_images_per_second": theirs,
            "ratio": ours / theirs,
            "rounds": rates[f"kit {phase}"],
            "paper_rounds": rates[f"paper {phase}"],
        }
        if phase != "augment":
            work = flops(self.learner.model) * (PASSES if phase == "train" else 1)
            figures |= self._of_peak(ours * work, theirs * work, peaks)
        if phase == "train":
            figures |= {
                "seconds_per_epoch": EPOCH_IMAGES / ours,
                "paper_seconds_per_epoch": EPOCH_IMAGES / theirs,
                "augmentation_share": ours / median(rates["kit augment"]),
                **self._predicted(),
            }
        return figures | self._conditions()

    def _predicted(self) -> dict[str, tuple[float, float]]:
        """What an epoch should take on this GPU, least and most, if its kind is known."""
        card = card_named(describe_machine(self.device)["device"])
        if card is None:
            return {}
        return {"predicted_seconds_per_epoch": predict_epoch("bench", self.recipe).seconds[card]}

    def _of_peak(self, ours: float, theirs: float, peaks: dict[str, float]) -> dict[str, Any]:
        """FLOP/s of both ways, in tera, beside the rates of matrix products in the precision that each way uses."""
        return {
            "tflops": ours / 1e12,
            "peak_tflops": peaks["kit"] / 1e12,
            "share_of_peak": ours / peaks["kit"],
            "paper_precision": float32_convolutions(self.device),
            "paper_peak_tflops": peaks["paper"] / 1e12,
            "paper_share_of_peak": theirs / peaks["paper"],
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
        for _ in self.to_augment.epoch(0):
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
            self.paper.classify(images)
            yield len(images)

    def _seconds(self, work: Callable[[], None]) -> float:
        _finish(self.device)
        began = time.perf_counter()
        work()
        _finish(self.device)
        return time.perf_counter() - began

    def _paced(self, batches: Iterator[int]) -> float:
        """Images a second of a round's steps after the first batch, which starts the workers.

        The workers have more images before them than the round takes, so they work on while it lasts, as in training.
        """
        next(batches)
        _finish(self.device)
        began = time.perf_counter()
        images = sum(islice(batches, self.steps))
        _finish(self.device)
        return images / (time.perf_counter() - began)


def float32_convolutions(device: torch.device) -> str:
    """The precision in which cuDNN multiplies float32 by default: tf32 (10 bits of mantissa) from Ampere on."""
    if device.type != "cuda" or not torch.backends.cudnn.allow_tf32:
        return "float32"
    return "tf32" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"


def matrix_product_rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Floating-point operations a second of square matrix products: the fastest of those made in about `seconds`.

    float32 is multiplied as convolutions are, which on Ampere and later is TF32.
    """
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times: list[float] = []
    with _products_as_convolutions(device):
        torch.mm(a, b)
        while sum(times) < seconds or len(times) < 3:
            _finish(device)
            began = time.perf_counter()
            torch.mm(a, b)
            _finish(device)
            times.append(time.perf_counter() - began)
    return 2 * size**3 / min(times)


@contextmanager
def _products_as_convolutions(device: torch.device) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = float32_convolutions(device) == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _finish(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _images(data: str, count: int) -> tuple[Tensor, Tensor]:
    """uint8 images and labels, at most `count`."""
    if data != "random":
        dataset = load(data)
        return dataset.train_images[:count], dataset.train_labels[:count]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.randint(10, (count,), generator=generator)


def _tell(text: str) -> None:
    """Print a line of progress on standard error, since standard output holds the figures, unless silenced."""
    if not quiet():
        print(text, file=sys.stderr, flush=True)
