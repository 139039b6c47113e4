"""Which competition is meant, and which kernel: slugs, read from a name or from the address of a page."""

import os
import re

from kit.data import COMPETITIONS
from kit.errors import KitError

_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?kaggle\.com/(?P<path>[^?#\s]*)(?:[?#]\S*)?", re.IGNORECASE)
_SLUG = r"[a-z0-9][a-z0-9_-]{0,99}"


def competition_slug(given: str | None = None) -> str:
    """The slug of the competition: `given`, else the variable KIT_COMPETITION, else the first of COMPETITIONS.

    The address of a page of the competition is read as its slug.

    Raises:
        KitError: neither a slug nor such an address.
    """
    name = (given or os.environ.get("KIT_COMPETITION") or COMPETITIONS[0]).strip()
    slug = name
    if address := _ADDRESS.fullmatch(name):
        parts = address["path"].split("/")
        slug = parts[1] if len(parts) > 1 and parts[0] in ("competitions", "c") else ""
    if not re.fullmatch(_SLUG, slug):
        raise KitError(
            f"{name[:100]!r} is no competition: give its slug, such as {COMPETITIONS[0]}, or the address of its page"
        )
    return slug


def kernel_name(given: str) -> str:
    """`slug` or `owner/slug` of a kernel, read from such a name or from the address of its page.

    Raises:
        KitError: neither.
    """
    name = given.strip()
    address = _ADDRESS.fullmatch(name)
    kernel = "/".join(address["path"].removeprefix("code/").split("/")[:2]) if address else name
    if not re.fullmatch(rf"({_SLUG}/)?{_SLUG}", kernel, re.IGNORECASE):
        raise KitError(f"{name[:100]!r} is no kernel: give slug or owner/slug, or the address of its page")
    return kernel
