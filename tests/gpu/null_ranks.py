"""One of several processes that train together, each with a null GPU of its own: gloo connects the hosts, NCCL is null.

Started with torchrun's environment; prints one line `RESULT {...}`. Use it as `null_steps.py`.
"""

import json
import os
import sys

import torch
from null_gpu import Counts
from null_steps import SETTLED, Scenario, counted

from kit.train.batches import Batches
from kit.train.distributed import joined_world
from kit.train.learner import Learner


def main() -> None:
    torch.set_num_threads(1)
    scenario, counts = Scenario("t4"), Counts()
    recipe = scenario.recipe()
    with joined_world() as world:
        device = torch.device("cuda", torch.cuda.current_device())
        images = torch.zeros(34 * recipe.batch_size, 3, 32, 32, dtype=torch.uint8)
        batches = Batches(images, torch.zeros(len(images), dtype=torch.long), recipe, 10, device, world)
        learner = Learner(recipe, 10, batches.selection.steps, device, "auto", "off", world, batches.selection)
        epoch = batches.epoch(0)
        for _ in range(SETTLED):
            learner.step(*next(epoch))
        result = counted(scenario, learner, epoch, counts)
        learner.state_dict()  # exchanges statistics and totals
    print("RESULT", json.dumps({"rank": world.rank, "device": device.index, "captured": learner.captured} | result))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # as in null_steps.py
