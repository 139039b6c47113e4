"""What a notebook prints while it runs, on this process's screen; and where it is if it prints nothing for long."""

import io
import re
import threading
import time
from typing import Any

from kit.system.progress import clock

SILENT_SECONDS = 28.0  # a little more than what lies between two lines of progress


class Stream(io.StringIO):
    """Prints what a notebook prints, indented below its name, as it comes; a context manager around the notebook.

    A section that prints nothing for long is named, with the time that the notebook has taken so far.

    Args:
        everything: False prints the lines of progress alone, which begin with three dots.

    Attributes:
        begun: whether a line was printed.
    """

    def __init__(self, everything: bool):
        super().__init__()
        self._everything, self._rest, self.begun = everything, "", False
        self._section, self._lock, self._ended = "the start of its kernel", threading.Lock(), threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Stream":
        self._started = self._printed = time.monotonic()
        self._watching.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self._watching.join()

    def write(self, text: str) -> int:
        """Print the lines that are whole by now."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip() and (self._everything or line.startswith("...")):
                self._print(line)
        return len(text)

    def enter_cell(self, cell: Any, cell_index: int) -> None:
        """Note the section that the notebook has come to; called before every cell, those of text included.

        Args:
            cell: of the notebook.
            cell_index: ignored; its name is nbclient's.
        """
        if cell.cell_type == "markdown" and (heading := re.match(r"#+ (.+)", cell.source)):
            self._section = heading[1]

    def _print(self, line: str) -> None:
        with self._lock:
            print("" if self.begun else "\n", f"  {line}", sep="", flush=True)
            self.begun, self._printed = True, time.monotonic()

    def _watch(self) -> None:
        while not self._ended.wait(min(SILENT_SECONDS / 2, 1.0)):
            now = time.monotonic()
            if now - self._printed >= SILENT_SECONDS:
                self._print(f'... at "{self._section}", {clock(now - self._started)} so far')
