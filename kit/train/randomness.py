"""Streams of random numbers, each determined by its purpose and its position in the training."""

import numpy as np
import torch

PURPOSES = ("order", "augmentation", "dropout", "mirror")


def stream(purpose: str, *position: int) -> torch.Generator:
    """A CPU generator that is determined by the arguments, and independent of those for other arguments.

    Args:
        purpose: one of PURPOSES. It comes first, since (7, 0) and (7, 0, 0) give the same numpy SeedSequence.
        position: whole numbers from 0; the same number of them in every use of a purpose.
    """
    words = (PURPOSES.index(purpose) + 1, *position)
    seed = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> np.uint64(1)))
