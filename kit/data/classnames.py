"""CIFAR-10's class names in their order, which numbers the labels of a submission, and synonyms for them."""

import re

from kit.errors import KitError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS = tuple(map(str, range(10)))
SYNONYMS = {
    "aeroplane": "airplane",
    "plane": "airplane",
    "aircraft": "airplane",
    "car": "automobile",
    "auto": "automobile",
    "boat": "ship",
    "lorry": "truck",
}


def official_name(name: str) -> str | None:
    """The name among `CLASSES` that a folder's name stands for (`Plane`, `cars`, `03_cat`), or None."""
    word = re.sub(r"^\d+[\s_.-]*", "", name).strip().lower()
    for candidate in (word, word.removesuffix("s")):
        meant = SYNONYMS.get(candidate, candidate)
        if meant in CLASSES:
            return meant
    return None


def ordered(names: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Class folders in the order of their labels, and the names of these classes.

    If the folders stand for CIFAR-10's ten classes, they get CIFAR-10's order and names. Otherwise they are sorted by
    the number that their names begin with, if every folder has a different one, and by name if not.
    """
    meant = [official_name(name) for name in names]
    if len(names) == len(CLASSES) and set(meant) == set(CLASSES):
        folders = dict(zip(meant, names, strict=True))
        return [folders[name] for name in CLASSES], CLASSES
    numbers = [int(found.group()) if (found := re.match(r"[0-9]{1,9}", name)) else None for name in names]
    if None not in numbers and len(set(numbers)) == len(numbers):
        by_number = [name for _, name in sorted(zip(numbers, names, strict=True))]
        return by_number, tuple(by_number)
    return sorted(names), tuple(sorted(names))


def check_competition_classes(classes: tuple[str, ...]) -> None:
    """Refuse classes whose labels may not be the competition's numbers.

    Raises:
        KitError: `classes` are neither CIFAR-10's ten names in its order nor the numbers 0 to 9; the message shows the
            two lists side by side.
    """
    if tuple(classes) in (CLASSES, DIGITS):
        return
    beside = ", ".join(
        f"{number}: {CLASSES[number] if number < len(CLASSES) else 'nothing'} / "
        f"{_short(classes[number]) if number < len(classes) else 'nothing'}"
        for number in range(min(max(len(CLASSES), len(classes)), 12))
    )
    raise KitError(
        "no CSV is written, because these classes are not certainly the competition's; number: competition / this "
        f"data: {beside}; rename the class folders to CIFAR-10's names and train again"
    )


def _short(name: str) -> str:
    return name if len(name) <= 40 else name[:37] + "..."
