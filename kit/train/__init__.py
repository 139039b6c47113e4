"""Training: the loop, and its parts: learner, batches, schedule, optimizers and log.

In: a `Recipe`, a `Dataset` and a `Run`. Out: the run folder with weights, history and metrics.
`python -m kit.train` is the entry for torchrun.
May import: augment, data, errors, lookahead, model, parameters, plots, predict, recipe, run, system.
"""

from kit.train.batches import CHUNK_IMAGES, Batches
from kit.train.budget import fit_to_budget
from kit.train.flops import PASSES
from kit.train.launch import launch
from kit.train.learner import Learner
from kit.train.loop import train
from kit.train.optimizers import build_optimizer
from kit.train.selection import steps_of_epochs

__all__ = [
    "CHUNK_IMAGES",
    "PASSES",
    "Batches",
    "Learner",
    "build_optimizer",
    "fit_to_budget",
    "launch",
    "steps_of_epochs",
    "train",
]
