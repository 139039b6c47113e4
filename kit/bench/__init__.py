"""Throughput of this machine, beside the paper's own way of training.

In: an architecture and a batch size. Out: images per second of augmentation, training and prediction.
May import: every room above it but competition, sweep, ablation and workflow.
"""

from kit.bench.command import add_options, run

__all__ = [
    "add_options",
    "run",
]
