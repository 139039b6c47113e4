"""Lazy imports of a package: its `__init__.py`, the door, lists names, and each is imported when it is first used.

`python -m kit --help` and a refused parameter then answer without torch. A door lists its names once, as imports that
only type checkers and readers see:

    if TYPE_CHECKING:
        from kit.model.resnet import ResNet, build

    __all__, __dir__, __getattr__ = lazy_imports(__name__)

`from kit.model import build` imports kit.model.resnet and nothing else of the package (PEP 562). No name in a door is
the name of one of the package's modules, since Python sets that name to the module.
"""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazy_imports(package: str) -> tuple[list[str], Callable[[], list[str]], Callable[[str], Any]]:
    """What a package's `__init__.py` assigns to `__all__`, `__dir__` and `__getattr__`.

    Args:
        package: the `__name__` of the package, whose source has the imports below `if TYPE_CHECKING:`.
    """
    modules = _imports_for_type_checkers(package)

    def load(name: str) -> Any:
        if name in modules:
            value = getattr(import_module(modules[name]), name)
        elif find_spec(f"{package}.{name}"):
            value = import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)  # from now on without this function
        return value

    return sorted(modules), lambda: sorted({*vars(sys.modules[package]), *modules}), load


def _imports_for_type_checkers(package: str) -> dict[str, str]:
    """The module of every name that the door imports below `if TYPE_CHECKING:`."""
    spec = sys.modules[package].__spec__
    source = spec.loader.get_source(package) if spec else ""  # type: ignore[union-attr]
    blocks = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}
