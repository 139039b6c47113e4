"""Lazy imports of a room: its `__init__.py`, the door, names what it offers; a name is imported when it is first used.

`python -m kit --help` and a refused parameter then answer without torch. A door lists its names once, as imports that
only type checkers and readers see:

    if TYPE_CHECKING:
        from kit.model.resnet import ResNet, build

    __all__, __dir__, __getattr__ = lazy_imports(__name__)

`from kit.model import build` imports kit.model.resnet and nothing else of the room (PEP 562). No name in a door is the
name of one of the room's modules, since Python sets that name to the module.
"""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazy_imports(room: str) -> tuple[list[str], Callable[[], list[str]], Callable[[str], Any]]:
    """What a room's `__init__.py` assigns to `__all__`, `__dir__` and `__getattr__`.

    Args:
        room: the `__name__` of the package, whose source has the imports below `if TYPE_CHECKING:`.
    """
    modules = _imports_for_type_checkers(room)

    def load(name: str) -> Any:
        if name in modules:
            value = getattr(import_module(modules[name]), name)
        elif find_spec(f"{room}.{name}"):
            value = import_module(f"{room}.{name}")
        else:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        setattr(sys.modules[room], name, value)  # from now on without this function
        return value

    return sorted(modules), lambda: sorted({*vars(sys.modules[room]), *modules}), load


def _imports_for_type_checkers(room: str) -> dict[str, str]:
    """The module of every name that the door imports below `if TYPE_CHECKING:`."""
    spec = sys.modules[room].__spec__
    source = spec.loader.get_source(room) if spec else ""  # type: ignore[union-attr]
    blocks = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}
