"""Progress of long work, shown where somebody looks.

- A terminal: one tqdm bar, drawn twice a second. A notebook that is open in a browser or an editor: one line below the
  cell, with a bar, redrawn as often.
- Everywhere else (papermill, CI, Kaggle's batch kernels, output into a file): a plain line, the first after 10 s, then
  every 25 s, so that no 30 s pass without one; other lines that go through `say` count as well.

KIT_QUIET=1 silences both. Only the outermost of nested works is shown. `Board` shows works of several processes.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from datetime import timedelta
from typing import Any, TypeVar

from kit.system.cellline import CellLine

QUIET = "KIT_QUIET"
FIRST_SECONDS, LINE_SECONDS = 10.0, 25.0
BAR_SECONDS = 0.5
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"  # tqdm's, without a rate
SHORT_SECONDS = 1.0  # a work that is over by then needs no line, whenever the last one was

Item = TypeVar("Item")
Note = str | Callable[[], str]
_open: list["Progress"] = []
_boards: list["Board"] = []
_cell_line = CellLine()
_last_line: float | None = None  # when this process last printed a line, by time.monotonic()


class Progress:
    """How far one piece of work is; a context manager.

    Args:
        title: what is done, such as "predicting".
        total: number of units; None if nobody knows it.
        unit: what is counted, such as "images".
        done: units that an earlier session did.
    """

    def __init__(self, title: str, total: int | None, unit: str, done: int = 0):
        self.title, self.total, self.unit, self.done = title, total, unit, done
        self._first = done

    def __enter__(self) -> "Progress":
        self._began = time.monotonic()
        self._display = _display(self)
        self._due = self._display.first_due(self._began) if self._display else float("inf")
        _open.append(self)
        return self

    def __exit__(self, *_exception: object) -> None:
        _open.remove(self)
        if self._display:
            self._display.close()

    def advance(self, units: int = 1, note: Note = "") -> None:
        """Count `units` more, and show the state if it is time to.

        Args:
            units: how many.
            note: what to show beside the count; a function is called only if it is shown, a few times a minute.
        """
        self.done += units
        if not self._display:
            if _open and _open[0] is not self:
                _open[0].advance(0)
        elif (now := time.monotonic()) >= self._due:
            words = note() if callable(note) else note
            self._display.show(words)
            self._due = self._display.next_due(now)

    @property
    def seconds(self) -> float:
        """Time since the work began, in this session."""
        return time.monotonic() - self._began

    @property
    def seconds_left(self) -> float | None:
        """Time that the rest takes at the pace of this session; None if that cannot be said yet."""
        worked = self.done - self._first
        return self.seconds / worked * max(self.total - self.done, 0) if self.total and worked else None

    def words(self, note: str) -> str:
        """The state as one line."""
        of = f" of {self.total:,}" if self.total else ""
        left = self.seconds_left
        parts = [
            f"{self.title}: {self.done:,}{of} {self.unit}",
            f"{clock(left)} left" if left is not None else "",
            note,
        ]
        return ", ".join(filter(None, parts))


def over(items: Iterable[Item], title: str, unit: str, total: int | None = None) -> Iterator[Item]:
    """Hand on `items`, and show how many are done."""
    with Progress(title, len(items) if total is None and isinstance(items, Sized) else total, unit) as work:
        for item in items:
            yield item
            work.advance()


class Board:
    """One line for each of several works that go on side by side; a context manager.

    A terminal shows the lines in one place, at most twice a second. Elsewhere they are printed every 25 s.
    """

    def __init__(self) -> None:
        self._drawn = 0  # lines that stand in the terminal
        self._terminal = sys.stderr.isatty() and not in_kernel()
        self._due = time.monotonic() + (BAR_SECONDS if self._terminal else FIRST_SECONDS)

    def __enter__(self) -> "Board":
        _boards.append(self)
        return self

    def __exit__(self, *_exception: object) -> None:
        _boards.remove(self)
        self.erase()

    def show(self, lines: Callable[[], Sequence[str]]) -> None:
        """Show the lines if it is time to; the function is called only then."""
        now = time.monotonic()
        if quiet() or now < self._due:
            return
        if self._terminal:
            self.erase()
            width = shutil.get_terminal_size().columns - 1  # a longer line would break into two
            texts = [line[:width] for line in lines()]
            sys.stderr.write("".join(f"{text}\n" for text in texts))
            sys.stderr.flush()
            self._drawn, self._due = len(texts), now + BAR_SECONDS
        elif now >= next_line(now):
            for line in lines():
                say(f"... {line}")
            self._due = now + LINE_SECONDS

    def erase(self) -> None:
        """Take the lines out of the terminal; the next `show` puts them back."""
        if self._drawn:
            sys.stderr.write(f"\x1b[{self._drawn}A\x1b[J")  # up, and clear what is below
            sys.stderr.flush()
            self._drawn = 0


def next_line(otherwise: float) -> float:
    """When a plain line is due: some time after the last one; at `otherwise` if none was printed yet."""
    return otherwise if _last_line is None else _last_line + LINE_SECONDS


def say(text: str) -> None:
    """Print a line at once, above the bar if there is one."""
    global _last_line
    _last_line = time.monotonic()
    for board in _boards:
        board.erase()
    if _open and isinstance(bar := _open[0]._display, _Bar) and bar.drawn:
        bar.drawn.write(text)
    else:
        print(text, flush=True)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def quiet() -> bool:
    """Whether progress is silenced, by `--quiet` or by KIT_QUIET."""
    return os.environ.get(QUIET, "0") not in ("", "0")


def run_again() -> str:
    """How to repeat what was stopped, in words."""
    return "run this cell again" if in_open_notebook() else "run the same command again"


def in_open_notebook() -> bool:
    """Whether this is the kernel of a notebook that somebody has open: Jupyter, VS Code, Colab or Kaggle's editor."""
    if not in_kernel():
        return False
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return bool(
        os.environ.get("JPY_SESSION_NAME")
        or os.environ.get("KAGGLE_KERNEL_RUN_TYPE") == "Interactive"
        or "google.colab" in sys.modules
        or "__vsc_ipynb_file__" in getattr(shell, "user_ns", {})
    )


def in_kernel() -> bool:
    """Whether this process is a notebook's kernel, which importing ipykernel alone does not make it."""
    module = sys.modules.get("ipykernel.kernelapp")
    return module is not None and module.IPKernelApp.initialized()


def _display(work: Progress) -> "_Bar | _InCell | _Lines | None":
    if _open or quiet():
        return None
    if in_open_notebook():
        return _InCell(work)
    return _Bar(work) if sys.stderr.isatty() and not in_kernel() else _Lines(work)


class _Bar:
    """A tqdm bar, made once the work has taken half a second."""

    def __init__(self, work: Progress):
        self.work = work
        self.drawn: Any = None

    def first_due(self, now: float) -> float:
        return now + BAR_SECONDS

    next_due = first_due

    def show(self, note: str) -> None:
        if self.drawn is None:
            from tqdm import tqdm

            self.drawn = tqdm(total=self.work.total, desc=self.work.title, leave=False, initial=self.work._first,
                              dynamic_ncols=True, mininterval=0, delay=1e-9, bar_format=BAR)  # fmt: skip
            # Made late, and silent until the first update: from here on it counts from the beginning of the work.
            self.drawn.start_t = self.drawn.last_print_t = time.time() - self.work.seconds
        self.drawn.set_postfix_str(note, refresh=False)
        if not self.drawn.update(self.work.done - self.drawn.n):  # which draws it, if the count has grown
            self.drawn.refresh()

    def close(self) -> None:
        if self.drawn is not None:
            self.drawn.close()


class _InCell:
    """The line below a notebook's cell, drawn once the work has taken half a second."""

    def __init__(self, work: Progress):
        self.work = work

    def first_due(self, now: float) -> float:
        return now + BAR_SECONDS

    next_due = first_due

    def show(self, note: str) -> None:
        _cell_line.show(self.work.words(note), self.work.done / self.work.total if self.work.total else None)

    def close(self) -> None:
        """The line stays until the next work or the end of the cell, so that the notebook does not jump."""


class _Lines:
    """A plain line now and then."""

    def __init__(self, work: Progress):
        self.work = work

    def first_due(self, now: float) -> float:
        return max(next_line(now + FIRST_SECONDS), now + SHORT_SECONDS)

    def next_due(self, now: float) -> float:
        return next_line(now)

    def show(self, note: str) -> None:
        now = time.monotonic()
        if now >= next_line(now):  # nothing else was printed meanwhile
            say(f"... {self.work.words(note)}")

    def close(self) -> None:
        """Nothing to take away."""
