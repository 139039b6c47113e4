"""Streams of random numbers, each a function of what it is for and of its place in the training."""

import numpy as np
import torch

PURPOSES = ("order", "augmentation", "dropout", "mirror")


def stream(purpose: str, *position: int) -> torch.Generator:
    """A CPU generator that is a function of its arguments and independent of all others.

    The purpose is one of PURPOSES; it comes first because numpy's SeedSequence takes (7, 0) and (7, 0, 0) for the same.
    `position` is whole numbers from 0, as many for every use of a purpose.
    """
    words = (PURPOSES.index(purpose) + 1, *position)
    seed = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> np.uint64(1)))
