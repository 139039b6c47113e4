"""An executed notebook as HTML: its sentences, figures and tables, without the code."""

import re
import warnings
from pathlib import Path

import nbformat
from markupsafe import Markup
from nbformat import NotebookNode

from kit.errors import KitError

# What may stand in a page: a notebook can come from another machine, and with it a script
TAGS = (
    "a", "b", "blockquote", "br", "code", "div", "em", "hr", "i", "img", "li", "ol", "p", "pre", "span", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
)  # fmt: skip
SENTENCES = re.compile(r"<pre>((?:(?!  ).)*?)</pre>", re.DOTALL)  # printed text without columns may break its lines
NOT_SHOWN = {"parameters", "not-in-report"}  # the page has the recipe and the run's figures in a place of their own
ATTRIBUTES = {"a": ["href"], "img": ["src", "alt"], "td": ["colspan", "rowspan"], "th": ["colspan", "rowspan"]}


def notebook_html(path: Path) -> Markup:
    """Sentences and outputs of an executed notebook.

    Scripts and event handlers are removed, as a notebook may come from another machine.

    Raises:
        KitError: the file is not a notebook.
    """
    try:
        with warnings.catch_warnings():  # of cells that an older version left without an id
            warnings.simplefilter("ignore")
            notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
            nbformat.validate(notebook)
    except Exception as error:  # nbformat raises many kinds, by what is damaged
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise KitError(f"{path} is not a notebook ({reason}): run it again") from None
    from nbconvert import HTMLExporter  # a second of import time that only pages need
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor
    from nbconvert.preprocessors.sanitize import SanitizeHTML

    notebook.cells = _for_readers(notebook.cells)
    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True)
    safe = SanitizeHTML(tags=TAGS, attributes=ATTRIBUTES, strip=True)
    exporter.register_preprocessor(CoalesceStreamsPreprocessor(), enabled=True)  # the rows of a training are one text
    exporter.register_preprocessor(safe, enabled=True)
    html, _ = exporter.from_notebook_node(notebook)
    return Markup(SENTENCES.sub(r'<pre class="sentences">\1</pre>', html))


def _for_readers(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Leave out what only a notebook needs, with the sentences about it; set headings one level deeper.

    That is code without output, and the cells with a tag of NOT_SHOWN.
    """
    kept: list[NotebookNode] = []
    for cell in cells:
        if cell.cell_type == "markdown":
            lines = [line for line in cell.source.split("\n") if not line.startswith("# ")]  # the section has a title
            cell.source = "\n".join(f"#{line}" if line.startswith("##") else line for line in lines)
            kept.append(cell)
        elif cell.cell_type == "code":
            if cell.get("outputs") and not NOT_SHOWN.intersection(cell.metadata.get("tags", [])):
                cell.outputs = [_without_style(output) for output in cell.outputs]
                kept.append(cell)
            elif kept and kept[-1].cell_type == "markdown" and len(kept) > 1:
                kept[-1].source = "\n".join(line for line in kept[-1].source.split("\n") if line.startswith("#"))
    while kept and kept[-1].cell_type == "markdown" and not _without_headings(kept[-1].source):
        kept.pop()  # a heading with nothing below it
    return kept


def _without_headings(source: str) -> str:
    return "".join(line for line in source.split("\n") if not line.startswith("#")).strip()


def _without_style(output: NotebookNode) -> NotebookNode:
    """The output without the style sheet that pandas puts into every table: the page has its own."""
    html = output.get("data", {}).get("text/html")
    if html:
        output.data["text/html"] = re.sub(r"<style.*?</style>", "", "".join(html), flags=re.DOTALL)
    return output
