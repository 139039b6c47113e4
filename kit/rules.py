"""Rule: what one setting means and which values it takes."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

from kit.errors import KitError


@dataclass(frozen=True)
class Rule:
    """What a setting means and which values it takes."""

    meaning: str
    type: type
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False  # low itself is refused
    open_high: bool = False
    choices: tuple[str, ...] = ()

    def allowed(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        kind = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}[self.type]
        low = f" {'above' if self.open_low else 'from'} {self.low:g}" if self.low > -math.inf else ""
        high = f" {'below' if self.open_high else 'to'} {self.high:g}" if self.high < math.inf else ""
        return kind + low + high

    def check(self, name: str, value: Any) -> Any:
        """Return `value` in the setting's type.

        Raises:
            KitError: the value has another type or is out of range.
        """
        converted = self._convert(value)
        if converted is None or not self._in_range(converted):
            raise KitError(f"{name} has to be {self.allowed()}, not {value!r} ({self.meaning})")
        return converted

    def _convert(self, value: Any) -> Any:
        if self.type is bool or isinstance(value, bool):
            return value if isinstance(value, bool) and self.type is bool else None
        if self.type is str:
            return str(value) if isinstance(value, str | int | float) else None
        if not isinstance(value, int | float) or not math.isfinite(value):
            return None
        return self.type(value) if self.type is float or value == int(value) else None

    def _in_range(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if self.type in (str, bool):
            return True
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)


def setting(default: Any, meaning: str, **limits: Any) -> Any:
    """A dataclass field that carries its Rule; the rule's type is the default's."""
    return field(default=default, metadata={"rule": Rule(meaning, type(default), **limits)})


def rules_of(settings: type) -> dict[str, Rule]:
    """The rules of a dataclass's settings, by name, in their order."""
    return {f.name: f.metadata["rule"] for f in fields(settings) if "rule" in f.metadata}
