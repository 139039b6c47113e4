"""What two processes started by torchrun do for tests/test_distributed.py: `distributed_training.py TASK FOLDER`."""

import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn
from training_process import few_digits

from kit.recipe import RECIPES
from kit.run import Run
from kit.train import loop as training
from kit.train.distributed import World, joined_world
from kit.train.learner import Learner

RECIPE = RECIPES["digits"].replace(
    arch="4,8/1,1", batch_size=32, epochs=3, ema=0.9, dropout=0.1, skip_easy=0.5, resize="24x0.4"
)
STEP_RECIPE = RECIPE.replace(ema=0.0, dropout=0.0, lookahead_k=0, skip_easy=0.0)
STEPS = [512 // 32, 256 // 32, 512 // 32]  # of each epoch


def one_step(world: World) -> dict:
    """What this process has after one step on its part of 32 images, BatchNorm with fixed statistics."""
    generator = torch.Generator().manual_seed(3)
    images, labels = torch.randn(32, 3, 32, 32, generator=generator), torch.arange(32) % 10
    images = images.contiguous(memory_format=torch.channels_last)
    learner = Learner(STEP_RECIPE, 10, STEPS, torch.device("cpu"), "fp32", "off", world)
    for module in learner.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    learner.step(images.chunk(world.size)[world.rank], labels.chunk(world.size)[world.rank])
    return {"parameters": tensors(learner.model.named_parameters()), "totals": learner.take_totals()}


def whole_run(folder: Path) -> list[dict]:
    """What this process has after each epoch of a run."""
    epochs, share = [], Learner.share_buffers

    def noted(learner):
        share(learner)
        if len(epochs) < len(STEPS) and learner.steps == sum(STEPS[: len(epochs) + 1]):
            epochs.append({str(i): tensors(n.state_dict().items()) for i, n in enumerate(learner.networks)})

    Learner.share_buffers = noted
    training.train(RECIPE, few_digits(), Run(folder))
    Learner.share_buffers = share
    return epochs


def broken_run(folder: Path) -> list[int]:
    """Stop a run by SIGTERM at one process, twice, and let it end; how many steps were done at each stop."""
    stops, step, training.AGREE_STEPS = [], Learner.step, 3

    def signalled(learner, *batch):
        logits = step(learner, *batch)
        if learner.world.rank == 1 and learner.steps in (20, 36):
            os.kill(os.getpid(), signal.SIGTERM)
        return logits

    Learner.step = signalled
    while not Run(folder).finished:
        try:
            training.train(RECIPE, few_digits(), Run(folder), checkpoint_seconds=0)
        except training.Stopped as stopped:
            print(stopped)
        torch.distributed.barrier()
        stops.append(torch.load(folder / "checkpoint.pt", weights_only=True)["learner"]["steps"])
    Learner.step = step
    return stops


def tensors(named) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in named}


def work(folder: Path) -> None:
    with joined_world() as world:
        training.joined_world = lambda: nullcontext(world)  # one world for all of it
        found = {
            "step": one_step(world),
            "epochs": whole_run(folder / "unbroken"),
            "stops": broken_run(folder / "broken"),
        }
        torch.save(found, folder / f"rank-{world.rank}.pt")


def die(folder: Path) -> None:
    step = Learner.step

    def killed(learner, *batch):
        logits = step(learner, *batch)
        if learner.world.rank == 1 and learner.steps == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return logits

    Learner.step = killed
    training.train(RECIPE, few_digits(), Run(folder / "dead"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"work": work, "die": die}[sys.argv[1]](Path(sys.argv[2]))
