"""The figure of what was submitted: expected scores against Kaggle's."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from kit.plots.style import BLUE, GREY, VERMILION, counted, sentence, shortened, styled


@styled
def expected_against_real(table: pd.DataFrame) -> Figure:
    """Draw each submission's expected score and the public and private scores that it got.

    Args:
        table: one row per submission; expected, public and private in %, NaN if unknown, and run and file for names.
    """
    drawn = table.dropna(subset=["expected"])
    if drawn[["public", "private"]].isna().all(axis=None):
        submissions = counted(len(table), "submission")
        return sentence(f"{submissions}, but none has both an expected score and a score from Kaggle yet")
    figure, axes = plt.subplots(figsize=(6.4, 5))
    for column, color, marker in (("public", BLUE, "o"), ("private", VERMILION, "D")):
        axes.plot(drawn["expected"], drawn[column], marker, color=color, label=f"{column} score", markersize=5)
    for row in drawn.dropna(subset=["public"]).itertuples():
        place = (row.expected, row.public)
        axes.annotate(shortened(row.run or row.file, 1.5, 7), place, (5, -3), textcoords="offset points", fontsize=7)
    ends = drawn[["expected", "public", "private"]].stack()
    axes.plot([ends.min(), ends.max()], [ends.min(), ends.max()], color=GREY, linewidth=1, label="as expected")
    axes.legend(loc="upper left")
    axes.set(xlabel="expected score (%)", ylabel="score on Kaggle (%)")
    axes.set_title(f"{len(drawn):,} of {counted(len(table), 'submission')} with an expected score")
    return figure
