"""Which competition: its slug."""

import os

from kit.data import COMPETITIONS


def name(slug: str | None = None) -> str:
    """The competition's slug: the one given, else the variable KIT_COMPETITION, else the first of COMPETITIONS."""
    return slug or os.environ.get("KIT_COMPETITION") or COMPETITIONS[0]
