"""The run folder: what a training leaves behind, written whole and read with care.

In: a name or a folder. Out: recipe, configuration, history, figures, weights and checkpoint of one training.
May import: data, errors, model, recipe, system.
"""

from kit.run.contents import TRAINED, WEIGHTS, travels
from kit.run.folder import Run, all_runs, load_runs, readable
from kit.run.keptrecords import RESULTS, mean_results, name_without_seed
from kit.run.machine import describe_machine

__all__ = [
    "RESULTS",
    "TRAINED",
    "WEIGHTS",
    "Run",
    "all_runs",
    "describe_machine",
    "load_runs",
    "mean_results",
    "name_without_seed",
    "readable",
    "travels",
]
