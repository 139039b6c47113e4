"""Rule: what one setting means and which values it takes, whether they come as values or as text."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from kit.errors import KitError

NOT_GIVEN = ("None", "null")  # words that say on every way in: not given

TRAINING = "what to train"  # headings of --help
REGULARIZATION = "regularization"
RUNNING = "how it runs"
SUBMITTING = "predictions and submission"

HEADER = ("ID", "Labels")  # the columns of the competition's CSV
_COLUMN = re.compile(r"[^\W\d][\w .-]{0,39}")  # no formula of a spreadsheet, no quote, no line break

_LARGEST = 2**63 - 1  # the largest whole number that every file format and library here can hold
_SHOWN = 80  # characters of a refused value that a message repeats


@dataclass(frozen=True)
class Rule:
    """What a setting means and which values it takes.

    Attributes:
        meaning: what the setting is, in words.
        type: bool, int, float or str.
        low, high: smallest and largest number.
        open_low, open_high: whether `low` or `high` itself is refused.
        choices: the texts that are allowed; empty allows every text.
        numeric: whether a text may be a number, such as the filter size 5.
        empty: what an empty text means besides the choices; none means that it is refused.
        none: what the word `none` stands for, if it is one of the setting's words.
        heading: where `--help` shows the setting.
    """

    meaning: str
    type: type
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    choices: tuple[str, ...] = ()
    numeric: bool = False
    empty: str = ""
    none: str = ""
    heading: str = TRAINING

    def allowed(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices) + (f", or empty for {self.empty}" if self.empty else "")
        kind = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}[self.type]
        low = f" {'above' if self.open_low else 'from'} {self.low:.10g}" if self.low > -math.inf else ""
        high = f" {'below' if self.open_high else 'to'} {self.high:.10g}" if self.high < math.inf else ""
        return kind + low + high

    def check(self, name: str, value: Any) -> Any:
        """Return `value` in the setting's type; the text of a number, True or False is read as one.

        Raises:
            KitError: the value has another type or is out of range.
        """
        converted = self._convert(value)
        if converted is None or not self._in_range(converted):
            number = None if self.type in (str, bool) else _number(value)
            message = f"{name} has to be {self.allowed()}, not {_shown(value if number is None else number)}"
            raise KitError(f"{message} ({self.meaning}){self._hint(name, value)}")
        return converted

    def _hint(self, name: str, value: Any) -> str:
        """The nearest choice; or how to hand over a text such as 2025_03_01, which arrived as a number."""
        if self.choices and (near := get_close_matches(str(value), self.choices, 1)):
            return f"; did you mean {near[0]}?"
        if self.type is not str or self.choices or not isinstance(value, int | float):
            return ""
        return (
            "; papermill's -p and YAML read some words as numbers or truth values: "
            f"write -r {name} in place of -p {name}, or quotes in YAML"
        )

    def _convert(self, value: Any) -> Any:
        if self.type is str:
            return self._text(value)
        if self.type is bool:
            return {"True": True, "False": False}.get(value) if isinstance(value, str) else _only(bool, value)
        number = _number(value)
        if number is None or (isinstance(number, float) and not math.isfinite(number)) or abs(number) > _LARGEST:
            return None
        return self.type(number) if self.type is float or number == int(number) else None

    def _text(self, value: Any) -> str | None:
        if isinstance(value, bool):  # YAML reads on and off as truth values
            word = "on" if value else "off"
            return word if word in self.choices else None
        return str(value) if isinstance(value, str) or (self.numeric and isinstance(value, int | float)) else None

    def _in_range(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices or (value == "" and bool(self.empty))
        if self.type in (str, bool):
            return True
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)


def read(name: str, rule: Rule, value: Any) -> Any:
    """The value of a setting as a user gave it, in the setting's type; None if it was not given.

    Raises:
        KitError: the value is refused; or it is None or null for a setting that takes the word none, since the two
            are easily mistaken.
    """
    if value is None:
        return None
    if isinstance(value, str) and value in NOT_GIVEN:
        if rule.none:
            raise KitError(f"{name} {value} is not clear: write none for {rule.none}, or leave {name} out")
        return None
    return rule.check(name, value)


def setting(default: Any, meaning: str, **limits: Any) -> Any:
    """A dataclass field that carries its Rule; the rule's type is the default's."""
    return field(default=default, metadata={"rule": Rule(meaning, type(default), **limits)})


def rules_of(settings: type) -> dict[str, Rule]:
    """The rules of a dataclass's settings, by name, in their order."""
    return {f.name: f.metadata["rule"] for f in fields(settings) if "rule" in f.metadata}


def parse_header(text: str) -> tuple[str, str]:
    """Read the header of a CSV from text such as `ID,Labels`.

    Raises:
        KitError: the text is not two different column names joined by a comma.
    """
    return check_header([name.strip(" ") for name in text.split(",")])


def check_header(names: Sequence[str]) -> tuple[str, str]:
    """Return the names of the two columns unchanged.

    Raises:
        KitError: there are not two, they are equal, or one is not a plain name.
    """
    if len(names) != 2 or names[0] == names[1] or not all(_COLUMN.fullmatch(name) for name in names):
        raise KitError(
            "header has to be two different words joined by a comma, such as ID,Labels, each of a letter and then "
            f"up to 39 letters, digits, spaces and _ . -, not {','.join(names)[:80]!r}"
        )
    return names[0], names[1]


def _only(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) else None


def _number(value: Any) -> int | float | None:
    """A number, or the number that a text spells as Python does; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    for kind in (int, float) if isinstance(value, str) else ():
        try:
            return kind(value)
        except ValueError:
            continue
    return _only(int, value) if isinstance(value, int) else _only(float, value)


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write numbers of thousands of digits
        return "a number of so many digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
