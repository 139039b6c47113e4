"""The image sizes of each epoch, read from a recipe's `resize` without torch.

Progressive resizing (Howard 2018, in fast.ai's DAWNBench entries): early epochs see smaller images, which cost less.
"""

from kit.errors import KitError

FULL = 32  # pixels per side, at which networks are evaluated
EXAMPLE = "24x0.4,28x0.3"


def read_sides(text: str) -> tuple[tuple[int, float], ...]:
    """Read `24x0.4,28x0.3`: 24 pixels for 0.4 of the epochs, then 28 for 0.3, then 32 for the rest; () for no text.

    Returns:
        Pairs of a side in pixels and the share of the epochs that have it.

    Raises:
        KitError: the text has another form, or no epoch is left for 32 pixels.
    """
    try:
        pairs = [part.split("x") for part in text.split(",")] if text else []
        parts = tuple((int(side), float(share)) for side, share in pairs)
    except ValueError:
        parts = ((0, 0.0),)
    if not all(1 <= side < FULL and share > 0 for side, share in parts) or not sum(share for _, share in parts) < 1:
        raise KitError(
            f"resize has to be sizes in pixels below {FULL}, each with its share of the epochs, such as {EXAMPLE}, not "
            f"{text!r}; the shares have to be above 0 and their sum below 1, since the last epochs have {FULL} pixels"
        )
    return parts


def sides_of_epochs(text: str, epochs: int) -> list[int]:
    """The side of the images in pixels for each epoch; it changes between epochs, and the last epoch always has 32.

    Raises:
        KitError: as in `read_sides`.
    """
    sides: list[int] = []
    share_over = 0.0
    for side, share in read_sides(text):
        share_over += share
        sides += [side] * (min(round(share_over * epochs), epochs - 1) - len(sides))
    return sides + [FULL] * (epochs - len(sides))
