"""The Kaggle side: download, submit, scores, push, pull, and the ledger of submissions.

In: a CSV or a run. Out: files from Kaggle, a score, a row of submissions/ledger.csv.
May import: analysis, data, errors, parameters, plots, recipe, run, submission, system.
"""

from kit.competition.commands import download, scores, submit
from kit.competition.kernel import kernel_slug, pull, push
from kit.competition.ledger import Row
from kit.competition.names import name

__all__ = [
    "Row",
    "download",
    "kernel_slug",
    "name",
    "pull",
    "push",
    "scores",
    "submit",
]
