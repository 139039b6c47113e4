"""A budget of minutes or of arithmetic: which recipe it takes, and how many epochs it pays for on this machine."""

import math
import os
import time
from dataclasses import dataclass, replace

import torch

from kit.data import Dataset, split
from kit.errors import KitError
from kit.model import IMAGE_SIDE
from kit.parameters import Settings
from kit.recipe import FAMILY, Recipe
from kit.run import Run, mean_results
from kit.system import progress
from kit.system.allocator import freed_memory_kept
from kit.system.precision import default_device
from kit.train.flops import PASSES, forward_flops, pflop_of_epochs
from kit.train.learner import Learner
from kit.train.loop import TRAINING_IMAGES_SCORED
from kit.train.selection import lacks_a_batch, steps_of_epochs

SPARE = 0.1  # share of the minutes that stays free: for augmentation, files, and a machine that slows down
PROBE_SECONDS = 5.0  # how long the speed is measured, at least
PROBE_STEPS = 3  # how many steps, at least
SMALL_LR = 1e-4  # costs the same as any other, and random images cannot drive the network to NaN with it
MOST_EPOCHS = 10_000


@dataclass(frozen=True)
class Sizes:
    """What a training is counted from: the numbers of images in each part of its data, and of classes."""

    training: int
    validation: int
    test: int
    classes: int


def sizes_of(dataset: Dataset, recipe: Recipe) -> Sizes:
    """The sizes of a dataset that is divided as the recipe says."""
    parts = split(dataset, recipe.split, recipe.seed)
    test = 0 if parts.test_labels is None else len(parts.test_labels)
    return Sizes(len(parts.train_labels), len(parts.validation_labels), test, len(dataset.classes))


def fit_to_budget(settings: Settings, dataset: Dataset) -> Settings:
    """The settings with the epochs that `minutes` or `pflop` pays for; without a budget, the settings as they are.

    With `minutes`, the speed of this machine is measured first, which takes some seconds. If no recipe was named, the
    budget also chooses the recipe of FAMILY whose own arithmetic is nearest. A warm-up keeps its share of the epochs. A
    run that has begun keeps its recipe. The choice is printed, with the accuracy of kept runs near this arithmetic.

    Args:
        settings: of the train notebook.
        dataset: what it will train on.

    Raises:
        KitError: the budget is too small for one epoch, or torchrun's processes are to measure `minutes`.
    """
    if not settings.candidates:
        return settings
    if begun := _begun(settings):
        name, earlier = begun
        progress.say(f"{Run(settings.run).folder} was begun with {earlier.epochs} epochs and keeps them")
        return _settled(settings, earlier, name)
    sizes = sizes_of(dataset, next(iter(settings.candidates.values())))  # all of them divide the images in the same way
    candidates = _with_full_batches(settings.candidates, sizes.training)
    name = next(iter(candidates))
    available = _available(settings, candidates[name], sizes.classes)
    nearest = min(candidates, key=lambda each: _distance(candidates[each], available, sizes))
    if nearest != name:
        name, available = nearest, _available(settings, candidates[nearest], sizes.classes)
    recipe = _longest(candidates[name], available, sizes, waiting=settings.gpus if settings.minutes else 0)
    if recipe is None:
        words = "give more, or a smaller arch"
        raise KitError(f"{_in_words(settings)} is not enough for one epoch of {name} here: {words}")
    work = training_pflop(recipe, sizes)
    if int(os.environ.get("RANK", 0)) == 0:
        told = f"{name} with {recipe.epochs} epoch{'s' * (recipe.epochs > 1)}, {work:.3g} PFLOP"
        progress.say(f"{_in_words(settings)}: {told}; {expectation(work)}")
    return _settled(settings, recipe, name)


def _settled(settings: Settings, recipe: Recipe, name: str) -> Settings:
    """The settings without a budget, with the recipe that it chose."""
    return replace(settings, recipe=recipe, recipe_name=name, minutes=0.0, pflop=0.0, candidates={})


def training_pflop(recipe: Recipe, sizes: Sizes) -> float:
    """The arithmetic of a whole training in 10^15 floating-point operations, evaluations left out."""
    return sum(pflop_of_epochs(recipe, sizes.classes, steps_of_epochs(recipe, sizes.training)))


def evaluation_pflop(recipe: Recipe, sizes: Sizes) -> float:
    """The arithmetic of a training's evaluations: each epoch on the validation images, at the end on others, too."""
    images = recipe.epochs * sizes.validation + min(sizes.training, TRAINING_IMAGES_SCORED) + sizes.test
    return images * forward_flops(recipe.architecture, sizes.classes, IMAGE_SIDE) / 1e15


def expectation(pflop: float) -> str:
    """What the kept runs of FAMILY on CIFAR-10 say about a training of so much arithmetic, in words.

    Between two of them the accuracy is interpolated on the logarithm of the arithmetic.
    """
    points = sorted((work, accuracy, count, name) for name, (work, accuracy, count) in mean_results(FAMILY).items())
    told = [f"{name} reached {accuracy:.2f} % with {work:.3g} PFLOP, n = {n}" for work, accuracy, n, name in points]
    above = next((i for i, point in enumerate(points) if point[0] >= pflop), len(points))
    if not points:
        return "no kept run says what to expect"
    if 0 < above < len(points):
        (low, from_accuracy, *_), (high, to_accuracy, *_) = points[above - 1 : above + 1]
        share = math.log(pflop / low) / math.log(high / low)
        predicted = from_accuracy + share * (to_accuracy - from_accuracy)
        return f"predicted {predicted:.1f} % on CIFAR-10 without views ({told[above - 1]}; {told[above]})"
    nearest = told[min(above, len(points) - 1)]
    return f"no kept run is that {'long' if above else 'short'}, so nothing is predicted ({nearest}, on CIFAR-10)"


def training_speed(recipe: Recipe, classes: int, device: torch.device, amp: str = "auto") -> float:
    """Measured arithmetic of training steps in 10^15 floating-point operations a second, on random images."""
    learner = Learner(recipe.replace(lr=SMALL_LR), classes, [MOST_EPOCHS], device, amp, "off")
    count = recipe.batch_size
    images = torch.randn(count, 3, IMAGE_SIDE, IMAGE_SIDE, device=device)
    targets, rows = torch.randint(classes, (count,), device=device), torch.arange(count, device=device)
    steps = 0
    with freed_memory_kept(device):
        for warm in (True, False):  # libraries choose their algorithms in the first steps, and a GPU records its graphs
            began = time.perf_counter()
            while steps < PROBE_STEPS or time.perf_counter() - began < (PROBE_SECONDS / 5 if warm else PROBE_SECONDS):
                learner.step(images, targets, rows)
                learner.take_totals()  # waits for the device
                steps += 1
            seconds, done, steps = time.perf_counter() - began, steps, 0
    return done * count * PASSES * forward_flops(recipe.architecture, classes, IMAGE_SIDE) / 1e15 / seconds


def _with_full_batches(candidates: dict[str, Recipe], images: int) -> dict[str, Recipe]:
    """The candidates for which every epoch on so many training images has a full batch."""
    refusals = {name: lacks_a_batch(each, images) for name, each in candidates.items()}
    if all(refusals.values()):
        raise KitError(refusals[min(candidates, key=lambda name: candidates[name].batch_size)])
    return {name: each for name, each in candidates.items() if not refusals[name]}


def _begun(settings: Settings) -> tuple[str, Recipe] | None:
    """The candidate that the run of `settings` was begun with: its name, and the run's recipe, of another length."""
    run = Run(settings.run)
    if not settings.resume or not run.config_path.is_file():
        return None
    try:
        earlier = run.recipe
    except KitError:  # damaged; the training mends what can be mended
        return None
    same = (name for name, each in settings.candidates.items() if _with_epochs(each, earlier.epochs) == earlier)
    return next(((name, earlier) for name in same), None)


def _with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    return recipe.replace(epochs=epochs, warmup=recipe.warmup * epochs / recipe.epochs)


def _available(settings: Settings, recipe: Recipe, classes: int) -> float:
    """The arithmetic in PFLOP that the budget allows."""
    if settings.pflop:
        return settings.pflop
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise KitError("minutes is measured by one process: give it to the train notebook; here give pflop or epochs")
    progress.say(f"measuring how fast this machine trains {recipe.arch}, which takes some seconds")
    speed = training_speed(recipe, classes, default_device(), settings.amp) * settings.gpus
    progress.say(f"this machine trains at {1000 * speed:.3g} TFLOP/s")
    return settings.minutes * 60 * (1 - SPARE) * speed


def _distance(recipe: Recipe, available: float, sizes: Sizes) -> float:
    """How far a recipe's own arithmetic is from the budget: the logarithm of the factor between them."""
    return abs(math.log(training_pflop(recipe, sizes) / available))


def _longest(recipe: Recipe, available: float, sizes: Sizes, waiting: int) -> Recipe | None:
    """The recipe with as many epochs as the arithmetic allows, by bisection; None if one epoch takes more.

    Args:
        recipe: whose epochs are chosen.
        available: the arithmetic of all GPUs together.
        sizes: of the data.
        waiting: GPUs whose time an evaluation takes: one works, and the others wait; 0 counts no evaluations.
    """

    def fits(epochs: int) -> bool:
        longer = _with_epochs(recipe, epochs)
        needed = training_pflop(longer, sizes) + waiting * evaluation_pflop(longer, sizes)
        return needed <= available

    if not fits(1):
        return None
    low, high = 1, MOST_EPOCHS + 1  # low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return _with_epochs(recipe, low)


def _in_words(settings: Settings) -> str:
    return f"pflop {settings.pflop:g}" if settings.pflop else f"minutes {settings.minutes:g}"
