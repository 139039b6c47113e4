"""Class names in CIFAR-10's order, by which a submission numbers its labels, whatever a folder is called."""

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
    """The name among `CLASSES` that `name` means: `Plane`, `cars` or `03_cat`; None if it means none of them."""
    word = re.sub(r"^\d+[\s_.-]*", "", name).strip().lower()
    for candidate in (word, word.removesuffix("s")):
        meant = SYNONYMS.get(candidate, candidate)
        if meant in CLASSES:
            return meant
    return None


def ordered(names: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """The folders of classes in the order of their labels, and the names of these classes.

    Folders that mean CIFAR-10's ten classes, each once, get CIFAR-10's numbers and names. Otherwise folders that all
    begin with a number of their own follow by it, and any others follow by name.
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
    """Refuse classes whose labels are not certainly the competition's numbers.

    Raises:
        KitError: `classes` are neither CIFAR-10's ten names in its order nor the numbers 0 to 9; the sentence shows the
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
