"""All that made a CSV in one zip, to hand in, and the proof that it makes the same CSV again.

In: runs with a CSV. Out: a zip; or what predicting again with that zip gives.
May import: data, errors, predict, recipe, run, submission, system, train.
"""

from kit.pack.entrypoints import predict_again, train_again
from kit.pack.making import pack
from kit.pack.verifying import verify

__all__ = ["pack", "predict_again", "train_again", "verify"]
