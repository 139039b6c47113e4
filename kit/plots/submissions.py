"""The figure of what was submitted: expected scores against Kaggle's."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from kit.plots.style import COLORS, styled


@styled
def expected_against_real(table: pd.DataFrame) -> Figure:
    """Draw each submission's expected score and the public and private scores that it got.

    Args:
        table: a row a submission; expected, public and private in %, NaN where unknown, and run and file for names.
    """
    figure, axes = plt.subplots(figsize=(6, 5))
    drawn = table.dropna(subset=["expected"])
    for column, color, marker in (("public", COLORS[0], "o"), ("private", COLORS[1], "D")):
        axes.plot(drawn["expected"], drawn[column], marker, color=color, label=f"{column} score", markersize=5)
    for row in drawn.dropna(subset=["public"]).itertuples():
        place = (row.expected, row.public)
        axes.annotate(row.run or row.file, place, (5, -3), textcoords="offset points", fontsize=7)
    ends = drawn[["expected", "public", "private"]].stack()
    if len(ends):
        axes.plot([ends.min(), ends.max()], [ends.min(), ends.max()], color="0.6", linewidth=1, label="as expected")
        axes.legend(loc="upper left")
    axes.set(xlabel="expected score (%)", ylabel="score on Kaggle (%)")
    axes.set_title(f"{len(drawn)} of {len(table)} submissions come with an expected score")
    return figure
