"""The Kaggle side: download, submit, scores, push, pull, and the ledger of submissions.

In: a CSV or a run. Out: files from Kaggle, a score, a row of submissions/ledger.csv.
May import: analysis, data, errors, parameters, plots, recipe, rules, run, submission, system.
"""

from kit.competition.commands import download, scores, submit
from kit.competition.kernel import kernel_slug, pull, push
from kit.competition.ledger import Row
from kit.competition.names import competition_slug

__all__ = [
    "Row",
    "competition_slug",
    "download",
    "kernel_slug",
    "pull",
    "push",
    "scores",
    "submit",
]
