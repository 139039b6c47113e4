"""The names of the CSV's two columns."""

import re
from collections.abc import Sequence

from kit.errors import KitError

HEADER = ("ID", "Labels")
_NAME = re.compile(r"[^\W\d][\w .-]{0,39}")  # no formula of a spreadsheet, no quote, no line break


def parse_header(text: str) -> tuple[str, str]:
    """Read the header from text such as `ID,Labels`.

    Raises:
        KitError: the text is not two different column names joined by a comma.
    """
    return check_header([name.strip(" ") for name in text.split(",")])


def check_header(names: Sequence[str]) -> tuple[str, str]:
    """Return the two column names unchanged.

    Raises:
        KitError: there are not two, they are equal, or one is not a plain name.
    """
    if len(names) != 2 or names[0] == names[1] or not all(_NAME.fullmatch(name) for name in names):
        raise KitError(
            "header has to be two different words joined by a comma, such as ID,Labels, each of a letter and then "
            f"up to 39 letters, digits, spaces and _ . -, not {','.join(names)[:80]!r}"
        )
    return names[0], names[1]
