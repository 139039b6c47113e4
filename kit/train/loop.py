"""The training loop."""

import math
from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.augment import MEAN, STD
from kit.data import Dataset, Split, split
from kit.errors import KitError
from kit.model import check_budget, count_parameters, draft
from kit.predict import predict
from kit.recipe import Recipe
from kit.run import Run, describe_machine
from kit.system import files, locks, progress
from kit.system.allocator import freed_memory_kept
from kit.system.interrupt import Stopped, StopRequest
from kit.system.precision import default_device, precision
from kit.train.arithmetic import pflop_of_epochs
from kit.train.batches import Batches
from kit.train.distributed import joined_world
from kit.train.learner import Learner
from kit.train.log import RunLog
from kit.train.mending import clear_damages, damages, rebuild_weights
from kit.train.selection import Selection
from kit.train.watch import watched

CHECKPOINT_SECONDS = 120.0  # the most that a killed run loses
EPOCH_SECONDS = 20.0  # epochs that end closer together than this share a checkpoint
STEM_IMAGES = 5000  # whose patches a whitening stem is fitted to
AGREE_STEPS = 16  # processes that train together agree about stopping at every such step


def train(recipe: Recipe, dataset: Dataset, run: Run, *, amp: str = "auto", compile: str = "auto", resume: bool = True,
          max_hours: float | None = None, device: torch.device | None = None,
          checkpoint_seconds: float = CHECKPOINT_SECONDS) -> Run:  # fmt: skip
    """Train `recipe` on `dataset` into the folder of `run`, going on from its checkpoint where there is one.

    Args:
        recipe: what to train.
        dataset: images and labels.
        run: where config, history, metrics, weights and checkpoint go.
        amp: precision, one of kit.precision.PRECISIONS.
        compile: auto, on or off.
        resume: False starts over where the folder holds a run already.
        max_hours: stop cleanly after so many hours; the run stays unfinished and can be resumed.
        device: default: the GPU where there is one.
        checkpoint_seconds: time between checkpoints inside an epoch.

    Returns:
        `run`; its `finished` is False where max_hours ended it early.

    Raises:
        KitError: the network is over the budget, the run folder holds a run of another recipe or of other images,
            another process trains there, or the loss diverged.
        Stopped: SIGTERM or SIGINT came; everything is saved.
    """
    device = device or default_device()
    _check_before_work(recipe, dataset, run, amp, device, resume)
    with joined_world() as world, StopRequest(max_hours) as stop, freed_memory_kept(device), ExitStack() as owning:
        if world.share(resume and run.finished and not damages(run)):
            return run
        owner = None
        if world.leads:
            owner = owning.enter_context(locks.owned(run.folder / locks.TRAINING, str(run.folder)))
            if resume:
                clear_damages(run)
            _check_folder(recipe, dataset, run, resume)  # another training may have begun since the first check
        device = default_device() if world.size > 1 else device
        parts = split(dataset, recipe.split, recipe.seed)
        batches = Batches(parts.train_images, parts.train_labels, recipe, len(dataset.classes), device, world)
        selection = batches.selection
        learner = Learner(recipe, len(dataset.classes), selection.steps, device, amp, compile, world, selection)
        learner.fit_stem(_spread(parts.train_images, STEM_IMAGES))
        log = _continued(run, learner, selection, resume, owner)
        if world.leads:
            _write_config(run, learner, dataset, compile)
        if _loop(learner, batches, parts, log, stop, checkpoint_seconds):
            if world.leads:
                rebuild_weights(run, learner, log)
            _finish(learner, batches, parts, log)
        return run


def _loop(learner: Learner, batches: Batches, parts: Split, log: RunLog, stop: StopRequest,
          checkpoint_seconds: float) -> bool:  # fmt: skip
    """Train until the last epoch is over; False where max_hours came first."""
    world, epochs, selection = learner.world, learner.recipe.epochs, batches.selection
    for epoch in range(len(log.rows), epochs):  # rows, not steps: a stop may come after an epoch's last step
        left = batches.epoch(epoch, start=selection.steps_into(epoch, learner.steps))
        for images, targets, rows in watched(left, learner, log, selection.steps, epoch):
            learner.step(images, targets, rows)

            if world.size == 1 or learner.steps % AGREE_STEPS == 0:
                if world.any(stop.reason is not None):
                    log.save(learner, selection)
                    return _say_how_to_go_on(log, learner, selection, epoch, stop)
                if world.any(log.age > checkpoint_seconds):
                    log.save(learner, selection)

        learner.share_buffers()
        selection.end_epoch()
        row = {"lr": learner.rate} | _finite(learner.take_totals(), epoch + 1)
        log.end_training_of_epoch()
        if world.leads:
            with learner.weights_to_judge() as model:
                row |= evaluate(model, parts.validation_images, parts.validation_labels, learner.amp, learner.device)
                log.end_epoch(row, selection.steps[epoch] * learner.recipe.batch_size, model)
            log.print_row()
        if world.any(log.age > EPOCH_SECONDS) or epoch + 1 == epochs:
            log.save(learner, selection)
    return True


def evaluate(model: nn.Module, images: Tensor, labels: Tensor, amp: str, device: torch.device) -> dict[str, float]:
    """Mean cross-entropy (in nats, without smoothing) and accuracy in % on uint8 images (N, 3, 32, 32)."""
    logits = predict(model, images, amp=amp, device=device)
    accuracy = 100 * (logits.argmax(1) == labels).double().mean()
    return {"validation_loss": F.cross_entropy(logits, labels).item(), "validation_accuracy": accuracy.item()}


def _spread(images: Tensor, count: int) -> Tensor:
    """At most `count` of the images, evenly from all, since they may be in the order of their classes."""
    return images[:: max(len(images) // count, 1)][:count]


def _check_before_work(recipe: Recipe, dataset: Dataset, run: Run, amp: str, device: torch.device,
                       resume: bool) -> None:  # fmt: skip
    """Refuse what is bound to fail, in a moment, before images are copied and folders made."""
    precision(device, amp)
    check_budget(draft(recipe.architecture, len(dataset.classes)))
    _check_folder(recipe, dataset, run, resume)


def _check_folder(recipe: Recipe, dataset: Dataset, run: Run, resume: bool) -> None:
    """Refuse to go on with a run of other images or of another recipe; a damaged config says neither."""
    if not run.config_path.is_file() or not resume or run.config_path in damages(run):
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
    """The record of the run, with `learner` and `selection` brought to its checkpoint where there is one."""
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
    return RunLog(run, work, state, owner)


def _write_config(run: Run, learner: Learner, dataset: Dataset, compile: str) -> None:
    files.write_json(
        run.config_path,
        {
            "recipe": learner.recipe.as_dict(),
            "data": dataset.source,
            "classes": list(dataset.classes),
            "images": len(dataset.train_labels),
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


def _say_how_to_go_on(log: RunLog, learner: Learner, selection: Selection, epoch: int, stop: StopRequest) -> bool:
    step, steps = selection.steps_into(epoch, learner.steps), selection.steps[epoch]
    message = (
        f"stopped by {stop.reason or 'another process'} in epoch {epoch + 1}, after step {step} of {steps}; "
        f"everything is saved in {log.run.folder}: run the same command again to go on"
    )
    if learner.world.leads:
        progress.say(message)
    if stop.signum is not None:
        raise Stopped(message, stop.signum)
    return False


def _finish(learner: Learner, batches: Batches, parts: Split, log: RunLog) -> None:
    """Measure the last epoch's weights on the training images as they are, and write the final figures."""
    if not learner.world.leads:
        return
    last, best, device = log.rows[-1], log.best, learner.device
    with learner.weights_to_judge() as model:
        plain = evaluate(model, parts.train_images, parts.train_labels, learner.amp, device)
        figures = {
            "last_accuracy": last["validation_accuracy"],
            "last_loss": last["validation_loss"],
            "best_accuracy": best["validation_accuracy"],
            "best_epoch": best["epoch"],
            "best_was_chosen_on": "the validation images themselves, so it flatters",
            "train_accuracy": plain["validation_accuracy"],
            "train_loss": plain["validation_loss"],
        }
        if parts.test_images is not None:
            held = evaluate(model, parts.test_images, parts.test_labels, learner.amp, device)
            figures |= {"test_accuracy": held["validation_accuracy"], "test_loss": held["validation_loss"]}
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
