"""Throughput of this machine, beside the paper's own way of training; predicted time of an epoch on other GPUs.

In: an architecture and a batch size, or recipes. Out: images per second of augmentation, training and prediction, or
predicted seconds.
May import: augment, data, errors, lookahead, model, parameters, predict, recipe, rules, run, system, train.
"""

from kit.bench.command import add_options, run

__all__ = [
    "add_options",
    "run",
]
