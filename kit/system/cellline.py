"""One line below a notebook's cell, redrawn in its place while the cell works and gone when it ends.

IPython's display does it in every notebook, with or without ipywidgets. tqdm's widgets leave a red bar for each work
that ends before its last count is drawn, and its text leaves an empty line.
"""

from html import escape
from typing import Any

STYLE = "font-family: var(--jp-code-font-family, monospace); font-size: 0.9em"


class CellLine:
    """The line of the cell that works now; all works of one cell share it."""

    def __init__(self) -> None:
        self._cell: int | None = None
        self._shown: Any = None  # IPython's handle, by which the line is replaced in its place

    def show(self, words: str, share: float | None) -> None:
        """Show `words`, after a bar that is filled to `share`, 0 to 1; None shows no bar."""
        from IPython import get_ipython
        from IPython.display import display

        bar = f'<progress value="{share:.3f}" style="width: 7em"></progress> ' if share is not None else ""
        content = {"text/plain": words, "text/html": f'<div style="{STYLE}">{bar}{escape(words)}</div>'}
        shell = get_ipython()
        if self._shown is not None and self._cell == shell.execution_count:
            self._shown.update(content, raw=True)
            return
        self._shown, self._cell = display(content, raw=True, display_id=True), shell.execution_count
        shell.events.register("post_run_cell", self._clear)

    def _clear(self, _result: object) -> None:
        from IPython import get_ipython

        get_ipython().events.unregister("post_run_cell", self._clear)
        self._shown.update({"text/plain": "", "text/html": ""}, raw=True)
        self._shown = None
