"""The style of all figures: colours that colour-blind readers can distinguish, fonts, and text that fits."""

import warnings
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, wraps
from typing import Any, ParamSpec

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.core.pylabtools import select_figure_formats
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

# Okabe & Ito 2008, https://jfly.uni-koeln.de/color/, darkest first
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, BLACK, YELLOW = COLORS
DARK_GREY, GREY, PALE = "0.4", "0.6", "0.9"

# DejaVu has no Chinese, Japanese, Korean or Indic characters; these fonts have, if the machine holds one of them
OTHER_SCRIPTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "WenQuanYi Zen Hei", "Microsoft YaHei",
    "SimHei", "PingFang SC", "Hiragino Sans", "Yu Gothic", "Malgun Gothic", "Apple SD Gothic Neo",
    "Noto Sans Devanagari", "Nirmala UI", "Noto Sans",
)  # fmt: skip
FONTS = ["DejaVu Sans", *sorted({font.name for font in fontManager.ttflist} & set(OTHER_SCRIPTS))]
UNKNOWN = "□"  # stands for a character that no font has

STYLE: dict[Any, Any] = {
    "font.family": FONTS,
    "text.parse_math": False,  # a class or a run may be called "5$"
    "axes.prop_cycle": plt.cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "figure.titlesize": 10,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "figure.constrained_layout.use": True,
}
P = ParamSpec("P")


class FigureWarning(UserWarning):
    """A figure could not be drawn or saved."""


if shell := get_ipython():  # a figure is a cell's value: shown as a picture whatever MPLBACKEND says
    select_figure_formats(shell, {"png"}, bbox_inches=None)  # "tight" draws every figure twice, and nothing is cut off


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the kit's style, and close the figure for pyplot, so that a notebook shows it once: as its value.

    If a figure cannot be drawn, a sentence takes its place and a warning says why, so that a notebook goes on.
    """

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        before = plt.get_fignums()
        try:
            with plt.rc_context(STYLE):
                figure = draw(*args, **kwargs)
        except Exception as error:
            for number in set(plt.get_fignums()) - set(before):  # half drawn
                plt.close(number)
            reason = f"{draw.__name__} could not be drawn ({type(error).__name__}: {error})"
            warnings.warn(reason, FigureWarning, stacklevel=2)
            return sentence(shortened(reason, 12))
        plt.close(figure)
        return figure

    return drawn


@styled
def sentence(text: str) -> Figure:
    """A figure that says in one sentence why there is nothing to draw."""
    figure, axes = plt.subplots(figsize=(6.4, 0.8))
    axes.text(0.5, 0.5, wrapped(text, 6, 9), ha="center", va="center", color=DARK_GREY, fontsize=9)
    axes.set_axis_off()
    return figure


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 image, 1,200 images."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def count_epochs(axes: Axes) -> None:
    """Make the horizontal axis one of whole epochs, also if there is only one."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def intervals(
    axes: Axes, places: ArrayLike, low: ArrayLike, high: ArrayLike, color: str = BLACK, horizontal: bool = False
) -> None:
    """Draw each interval from its low end to its high end, also if the estimate lies outside.

    matplotlib's error bars refuse such intervals, but a bootstrap or a limit of 100 % can give them.

    Args:
        axes: where to draw.
        places: (N,), positions of the intervals on the other axis.
        low: (N,), the low ends; NaN draws nothing.
        high: (N,), the high ends.
        color: of the line and its two caps.
        horizontal: along the horizontal axis, not the vertical one.
    """
    places, low, high = (np.atleast_1d(np.asarray(values, dtype=float)) for values in (places, low, high))
    draw, cap = (axes.hlines, "|") if horizontal else (axes.vlines, "_")
    draw(places, low, high, color=color, linewidth=1.2)
    ends, twice = np.concatenate([low, high]), np.concatenate([places, places])
    x, y = (ends, twice) if horizontal else (twice, ends)
    axes.plot(x, y, linestyle="none", marker=cap, color=color, markersize=5)


@cache
def _characters() -> frozenset[int]:
    """The code points that the fonts of the figures have."""
    paths = {font.fname for font in fontManager.ttflist if font.name in FONTS}
    return frozenset().union(*(get_font(path).get_charmap() for path in paths))


def drawable(text: object) -> str:
    """Text from outside (a class, a run) in one line of characters that the fonts have."""
    line = " ".join(str(text).split())
    return "".join(c if ord(c) in _characters() else UNKNOWN for c in line)


@lru_cache(4096)
def width_of(text: str, size: float) -> float:
    """Width in inches of one line of text in `size` points."""
    return text_to_path.get_text_width_height_descent(text, FontProperties(family=FONTS, size=size), False)[0] / 72


def shortened(text: object, inches: float, size: float = 8) -> str:
    """`drawable` text, with its middle left out if it is wider than `inches` at `size` points."""
    line = drawable(text)
    if width_of(line, size) <= inches:
        return line
    fits, too_many = 1, len(line)
    while too_many - fits > 1:  # the largest number of characters that fits
        count = (fits + too_many) // 2
        fits, too_many = (count, too_many) if width_of(_without_middle(line, count), size) <= inches else (fits, count)
    return _without_middle(line, fits)


def _without_middle(line: str, count: int) -> str:
    head = -(-count // 2)
    return f"{line[:head]}…{line[len(line) - count + head :]}"


def short_names(names: Sequence[object], inches: float = 1.3, size: float = 8) -> list[str]:
    """Names of classes or runs beside an axis, none wider than `inches`."""
    return [shortened(name, inches, size) for name in names]


def wrapped(text: str, inches: float, size: float = 10) -> str:
    """Text broken into lines that are at most `inches` wide; breaks that it has are kept."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines.append("")
        for word in paragraph.split():
            longer = f"{lines[-1]} {shortened(word, inches, size)}".strip()
            if width_of(longer, size) <= inches:
                lines[-1] = longer
            else:
                lines.append(shortened(word, inches, size))
    return "\n".join(lines)
