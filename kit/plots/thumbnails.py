"""Sheets of small images. All images have one size, whatever their number, and titles fit."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kit.plots.style import shortened, width_of, wrapped

# All in inches, except font sizes, which are in points.
SIDE = 0.85  # of an image
TITLED = 1.2  # from one image to the next in a row with titles
UNTITLED = 0.91
LETTERS = 7.5
LINE = 0.14  # height of one line of LETTERS
MARGIN = 0.12
NARROWEST = 6.4  # a sheet of one image has room for its heading
HEADING = 10


def sheet(
    rows: int, columns: int, titles: Sequence[int], heading: str = "", labels: Sequence[str] = ()
) -> tuple[Figure, np.ndarray]:
    """An empty sheet of images.

    Args:
        rows: of images, from 1.
        columns: of images, from 1.
        titles: for each row the number of title lines above its images.
        heading: text above all images.
        labels: text left of each row, of one line or more.

    Returns:
        The figure, and its axes (rows, columns), which show nothing until `show_image` draws into them.
    """
    step = TITLED if any(titles) else UNTITLED
    side = max((width_of(line, 8) for label in labels for line in label.split("\n")), default=0)
    left = MARGIN + (side + 0.1 if labels else 0)
    width = max(left + columns * step + MARGIN, NARROWEST)
    heading = wrapped(heading, width - 2 * MARGIN, HEADING)
    top = MARGIN + (0.19 * (heading.count("\n") + 1) if heading else 0)
    heights = np.array([LINE * lines + SIDE + 0.08 for lines in titles])
    height = top + heights.sum() + MARGIN
    figure = plt.figure(figsize=(width, height), layout="none")
    if heading:
        figure.text(MARGIN / width, 1 - 0.06 / height, heading, va="top", ha="left", fontsize=HEADING)
    grid = np.empty((rows, columns), dtype=object)
    for row, bottom in enumerate(height - top - heights.cumsum()):
        for column in range(columns):
            x = left + column * step + (step - SIDE) / 2
            grid[row, column] = axes = figure.add_axes((x / width, bottom / height, SIDE / width, SIDE / height))
            axes.axis("off")
        if labels:
            y = (bottom + SIDE / 2) / height
            figure.text((left - 0.06) / width, y, labels[row], ha="right", va="center", fontsize=8)
    return figure, grid


def title_of(*lines: str) -> str:
    """Lines above an image, none of them wider than its place."""
    return "\n".join(shortened(line, TITLED - 0.06, LETTERS) for line in lines)


def named(name: str, after: str = "", before: str = "") -> str:
    """A line above an image with a class's name, of which only the name is shortened if there is too little room."""
    room = TITLED - 0.06 - width_of(f"{before}{after}", LETTERS)
    return f"{before}{shortened(name, room, LETTERS)}{after}"


def show_image(axes: Axes, image: Tensor, title: str = "") -> None:
    """Draw one uint8 image (3, H, W) without ticks or frame, which would look like its border."""
    axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_title(title, fontsize=LETTERS, pad=3)
