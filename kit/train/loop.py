"""The training loop."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.augment import MEAN, STD
from kit.data import Dataset, Split, split, spread
from kit.errors import KitError
from kit.model import check_budget, count_parameters, draft
from kit.parameters import tracker_named
from kit.predict import predict
from kit.recipe import Recipe
from kit.run import Run, describe_machine
from kit.system import files, locks, progress
from kit.system.allocator import freed_memory_kept
from kit.system.interrupt import Stopped, StopRequest
from kit.system.precision import default_device, precision
from kit.train.batches import Batches
from kit.train.callbacks import Callback, Callbacks
from kit.train.distributed import joined_world
from kit.train.epochprogress import watched
from kit.train.flops import pflop_of_epochs
from kit.train.learner import Learner
from kit.train.log import RunLog
from kit.train.repair import clear_damages, damages, has_readable_config, rebuild_weights
from kit.train.selection import Selection
from kit.train.trackers.tracking import Tracking

CHECKPOINT_SECONDS = 120.0  # the most that a killed run loses
EPOCH_SECONDS = 20.0  # shorter epochs share a checkpoint
STEM_IMAGES = 5000  # number of images that a whitening stem is fitted to
TRAINING_IMAGES_SCORED = 10_000  # at most: for all 50,000, `quick` would need half an epoch's time
AGREE_STEPS = 16  # steps after which processes that train together agree whether to stop


def train(recipe: Recipe, dataset: Dataset, run: Run, *, amp: str = "auto", compile: str = "auto", resume: bool = True,
          max_hours: float | None = None, device: torch.device | None = None,
          checkpoint_seconds: float = CHECKPOINT_SECONDS, track: str = "",
          callbacks: Sequence[Callback] = ()) -> Run:  # fmt: skip
    """Train `recipe` on `dataset` into the folder of `run`; go on from its checkpoint if there is one.

    Args:
        recipe: what to train.
        dataset: images and labels.
        run: its folder gets config, history, metrics, weights and checkpoint.
        amp: precision, one of kit.system.precision.PRECISIONS.
        compile: auto, on or off.
        resume: False starts over if the folder holds a run already.
        max_hours: stop cleanly after so many hours; the run stays unfinished and can be resumed.
        device: by default the GPU, if there is one.
        checkpoint_seconds: time between checkpoints inside an epoch.
        track: a tracker of kit.parameters.TRACKERS; empty for that of the variable KIT_TRACK, or none.
        callbacks: what is told of every epoch; one that fails is left out, and the training goes on.

    Returns:
        `run`; its `finished` is False if max_hours ended it early.

    Raises:
        KitError: the network is over the budget, the run folder holds a run of another recipe or of other images,
            another process trains there, the tracker's package is missing, or the loss diverged.
        Stopped: SIGTERM or SIGINT came; everything is saved.
    """
    device = device or default_device()
    _check_before_work(recipe, dataset, run, amp, device, resume)
    tracker = tracker_named(track)
    everybody = [*callbacks, *([Tracking(tracker)] if tracker else [])]
    with joined_world() as world, StopRequest(max_hours) as stop, freed_memory_kept(device), ExitStack() as owning:
        damaged = damages(run) if resume and world.leads else {}
        if world.share(resume and run.finished and not damaged):
            with Callbacks(everybody if world.leads else [], run):
                return run
        owner = None
        if world.leads:
            owner = owning.enter_context(locks.owned(run.folder / locks.TRAINING, str(run.folder)))
            clear_damages(run, damaged)
            _check_folder(recipe, dataset, run, resume)  # another training may have begun since the first check
        device = default_device() if world.size > 1 else device
        parts = split(dataset, recipe.split, recipe.seed)
        batches = Batches(parts.train_images, parts.train_labels, recipe, len(dataset.classes), device, world)
        selection = batches.selection
        learner = Learner(recipe, len(dataset.classes), selection.steps, device, amp, compile, world, selection)
        learner.fit_stem(spread(parts.train_images, STEM_IMAGES))
        log = _continued(run, learner, selection, resume, owner)
        if world.leads:
            _write_config(run, learner, dataset, compile)
        with Callbacks(everybody if world.leads else [], run) as told:
            stopped_in = _loop(learner, batches, parts, log, stop, checkpoint_seconds, told)
            if stopped_in is None:
                if world.leads:
                    rebuild_weights(run, learner, log)
                    _write_metrics(learner, parts, log)
                return run
        _end_early(_how_to_go_on(run, learner, selection, stopped_in, stop), learner, stop)
        return run


def _loop(learner: Learner, batches: Batches, parts: Split, log: RunLog, stop: StopRequest,
          checkpoint_seconds: float, callbacks: Callbacks) -> int | None:  # fmt: skip
    """Train until the last epoch is over, and return None; or until a stop, and return its epoch, counted from 0."""
    world, epochs, selection = learner.world, learner.recipe.epochs, batches.selection
    if world.leads and learner.compiled:
        progress.say("compiling faster kernels in the first steps, which takes a minute or more")
    for epoch in range(len(log.rows), epochs):  # rows, not steps: a stop may come after an epoch's last step
        left = batches.epoch(epoch, start=selection.steps_into(epoch, learner.steps))
        for images, targets, rows in watched(left, learner, log, selection.steps, epoch):
            learner.step(images, targets, rows)

            if world.size == 1 or learner.steps % AGREE_STEPS == 0:
                if world.any(stop.reason is not None):
                    log.save(learner, selection)
                    return epoch
                if world.any(log.age > checkpoint_seconds):
                    log.save(learner, selection)

        learner.share_buffers()
        selection.end_epoch()
        row = {"lr": learner.rate} | _finite(learner.take_totals(), epoch + 1)
        log.end_training_of_epoch()
        if world.leads:
            with learner.weights_to_judge() as model:
                score = evaluate(model, parts.validation_images, parts.validation_labels, learner)
                row |= {"validation_loss": score.loss, "validation_accuracy": score.accuracy}
                log.end_epoch(row, selection.steps[epoch] * learner.recipe.batch_size, model)
            log.print_row()
            callbacks.epoch()
        if world.any(log.age > EPOCH_SECONDS) or epoch + 1 == epochs:
            log.save(learner, selection)
    return None


class Score(NamedTuple):
    """How well a network answers for a set of images."""

    loss: float  # mean cross-entropy in nats, without label smoothing
    accuracy: float  # in %


def evaluate(model: nn.Module, images: Tensor, labels: Tensor, learner: Learner) -> Score:
    """Score `model` on uint8 images (N, 3, 32, 32) and labels, int64 (N,), on the learner's device."""
    logits = predict(model, images, amp=learner.amp, device=learner.device)  # float32 (N, classes)
    accuracy = 100 * (logits.argmax(1) == labels).double().mean()
    return Score(F.cross_entropy(logits, labels).item(), accuracy.item())


def _check_before_work(recipe: Recipe, dataset: Dataset, run: Run, amp: str, device: torch.device,
                       resume: bool) -> None:  # fmt: skip
    """Refuse at once what cannot work, before images are copied and folders are made."""
    precision(device, amp)
    check_budget(draft(recipe.architecture, len(dataset.classes)))
    _check_folder(recipe, dataset, run, resume)


def _check_folder(recipe: Recipe, dataset: Dataset, run: Run, resume: bool) -> None:
    """Refuse to go on with a run of other images or of another recipe, unless its config is damaged."""
    if not resume or not run.config_path.is_file() or not has_readable_config(run):
        return
    run.check_images(dataset)
    _check_recipe(run, run.config["recipe"], recipe)


def _check_recipe(run: Run, earlier: dict[str, Any], recipe: Recipe) -> None:
    earlier, wanted = Recipe().as_dict() | earlier, recipe.as_dict()  # settings may have been added since
    if changed := [f"{k} {earlier[k]!r}, not {v!r}" for k, v in wanted.items() if earlier[k] != v]:
        raise KitError(
            f"{run.folder} holds a run of another recipe ({'; '.join(changed[:3])}): "
            "choose another name with run, or start over with resume False"
        )


def _continued(run: Run, learner: Learner, selection: Selection, resume: bool, owner: locks.Lock | None) -> RunLog:
    """The log of the run. If there is a checkpoint, `learner` and `selection` are set to it."""
    work = pflop_of_epochs(learner.recipe, learner.model.classifier.out_features, selection.steps)
    state = None
    if learner.world.leads:
        files.remove_leftovers(run.folder)
        if not resume:
            run.clear()
        state = run.load_checkpoint()
        if state is None and resume and run.history_path.is_file():
            print(f"{run.folder} has no checkpoint yet: starting over", flush=True)
    state = learner.world.share(state)
    if state is None:
        return RunLog(run, work, owner=owner)
    _check_recipe(run, state["recipe"], learner.recipe)
    learner.load_state_dict(state["learner"])
    selection.load_state_dict(state["selection"])
    if learner.world.leads:
        run.save_history(state["rows"])  # the file may be damaged, or ahead of an earlier checkpoint
        print(f"going on with {run.folder} after {len(state['rows'])} of {learner.recipe.epochs} epochs", flush=True)
    epoch = len(state["rows"])
    begun = selection.steps_into(epoch, learner.steps) / selection.steps[epoch] if epoch < len(work) else 0.0
    return RunLog(run, work, state, owner, begun)


def _write_config(run: Run, learner: Learner, dataset: Dataset, compile: str) -> None:
    files.write_json(
        run.config_path,
        {
            "recipe": learner.recipe.as_dict(),
            "data": dataset.source,
            "classes": list(dataset.classes),
            "images": len(dataset.train_labels),
            "fingerprint": dataset.fingerprint,
            "parameters": count_parameters(learner.model),
            "normalisation": {"mean": list(MEAN), "std": list(STD)},
            "amp": str(learner.dtype).removeprefix("torch."),
            "compile": compile,
            "processes": learner.world.size,
            **describe_machine(learner.device),
        },
    )


def _finite(totals: dict[str, float], epoch: int) -> dict[str, float]:
    if not math.isfinite(totals["train_loss"]):
        raise KitError(f"the training loss is not a number in epoch {epoch}: lower lr, or lengthen warmup")
    return totals


def _end_early(message: str, learner: Learner, stop: StopRequest) -> None:
    """Raise `Stopped` if a signal came. The message is printed, but for a kernel, which shows that of the exception."""
    if learner.world.leads and not (stop.signum and progress.in_kernel()):
        progress.say(message)
    if stop.signum is not None:
        raise Stopped(message, stop.signum)


def _how_to_go_on(run: Run, learner: Learner, selection: Selection, epoch: int, stop: StopRequest) -> str:
    """The sentence for a training that was stopped in `epoch`, counted from 0."""
    step, steps = selection.steps_into(epoch, learner.steps), selection.steps[epoch]
    what = f"stopped by {stop.reason or 'another process'}"
    if stop.signum is not None and progress.in_open_notebook():
        what = "interrupted"  # by its stop button, or by a restart of the kernel
    return (
        f"{what} in epoch {epoch + 1}, after step {step} of {steps}; "
        f"everything is saved in {run.folder}: {progress.run_again()} to go on"
    )


def _write_metrics(learner: Learner, parts: Split, log: RunLog) -> None:
    """Score the last epoch's weights on training images, without augmentation, and write the final figures."""
    last, best = log.rows[-1], log.best
    images, labels = (spread(part, TRAINING_IMAGES_SCORED) for part in (parts.train_images, parts.train_labels))
    with learner.weights_to_judge() as model:
        train = evaluate(model, images, labels, learner)
        figures = {
            "last_accuracy": last["validation_accuracy"],
            "last_loss": last["validation_loss"],
            "best_accuracy": best["validation_accuracy"],
            "best_epoch": best["epoch"],
            "best_was_chosen_on": "the validation images themselves, so it flatters",
            "train_accuracy": train.accuracy,
            "train_loss": train.loss,
            "train_scored": len(images),
        }
        if parts.test_images is not None and parts.test_labels is not None:
            test = evaluate(model, parts.test_images, parts.test_labels, learner)
            figures |= {"test_accuracy": test.accuracy, "test_loss": test.loss}
    figures |= {
        "split": learner.recipe.split,
        "training_images": len(parts.train_images),
        "validation_images": len(parts.validation_images),
        "epochs": learner.recipe.epochs,
        "parameters": count_parameters(learner.model),
        "pflop": sum(log.work),
        "compiled": learner.compiled,
        "captured": learner.captured,
        "train_seconds": sum(row["seconds"] for row in log.rows),
        "wall_seconds": log.wall_seconds,
    }
    files.write_json(log.run.metrics_path, figures)
    log.run.drop_earlier_checkpoint()
