"""Read pickles of images without trusting them: numpy arrays, scalars and plain containers, and nothing else.

A pickle is a program, and the competition's files are pickles from the internet. Arrays need a handful of
names beside the plain containers, so those are all that is looked up, and here they stand for functions that
check what they are given. Protocols 0 to 5, written by Python 2 or 3 with numpy 1 or 2.
"""

import collections
import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from kit.errors import KitError


def read_pickle(source: str | Path | BinaryIO, name: str = "the pickle") -> Any:
    """Read a pickle of numpy arrays and plain containers.

    Strings that Python 2 wrote come as bytes, as `pickle.load(file, encoding="bytes")` gives them.

    Args:
        source: a path or a file opened for reading bytes.
        name: what to call an open file in an error; a path speaks for itself.

    Raises:
        KitError: not a pickle, a truncated one, or one that asks for anything but numbers and containers.
    """
    if isinstance(source, str | Path):
        name = str(source)
        content = _read_bytes(Path(source))
    else:
        content = source.read()
    try:
        return _ImageUnpickler(io.BytesIO(content), encoding="bytes").load()
    except _ForbiddenError as error:
        raise KitError(
            f"{name} was not read because it asks for {error}, and a pickle of images holds numpy arrays and "
            "plain containers only; get the file from the competition's own page"
        ) from None
    except Exception:  # a damaged pickle raises nearly anything, from IndexError to MemoryError
        raise KitError(
            f"{name} is not a readable pickle but cut off, damaged or another kind of file; download it again"
        ) from None


def read_dictionary(source: str | Path | BinaryIO, name: str = "the pickle") -> dict[str, Any]:
    """Read a pickled dictionary as `read_pickle` does, with keys of text whichever Python wrote it.

    Raises:
        KitError: as `read_pickle`, and where the pickle is no dictionary.
    """
    content = read_pickle(source, name)
    if not isinstance(content, dict):
        where = name if not isinstance(source, str | Path) else source
        raise KitError(
            f"{where} holds a {type(content).__name__} where a dictionary of arrays is needed; "
            "download the original again"
        )
    return {as_text(key): value for key, value in content.items()}


def as_text(value: Any) -> str:
    """The text of a string that Python 2 or 3 pickled."""
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KitError(f"{path} cannot be read: {error.strerror}; pass the path of a pickle") from None


class _ForbiddenError(Exception):
    """What a pickle asked for and does not get."""


class _DataType:
    """Takes the place of numpy.dtype while reading.

    numpy believes all that a pickle says about a dtype, even that raw bytes are pointers to Python objects;
    this one takes over the kind, the size and the byte order of plain numbers and strings, and nothing else.
    """

    def __init__(self, code: str | bytes, *_: Any):
        self.dtype = np.dtype(code.decode("ascii") if isinstance(code, bytes) else str(code))
        if self.dtype.kind not in "biufSU":
            raise _ForbiddenError(f"an array of {self.dtype}")

    def restore(self, state: tuple) -> None:
        order, *structure = state[1:5]
        if structure != [None, None, None]:
            raise _ForbiddenError("a structured array")
        self.dtype = self.dtype.newbyteorder(order.decode("ascii") if isinstance(order, bytes) else order)


def _from_bytes(
    raw: bytes | bytearray, data_type: _DataType, shape: tuple, order: str, axes: tuple | None = None
) -> np.ndarray:
    flat = np.frombuffer(raw, data_type.dtype)
    if order == "K" and axes is not None:  # numpy 2.3 and later keep an array with permuted axes as it lies
        return flat.reshape(shape).transpose(axes)
    return flat.reshape(shape, order=order)


def _scalar(data_type: _DataType, raw: bytes) -> np.generic:
    return _from_bytes(raw, data_type, (1,), "C")[0]


def _empty_array(*_: Any) -> np.ndarray:
    return np.empty(0, np.uint8)  # numpy pickles an empty array first and restores its state afterwards


def _restore_array(array: np.ndarray, state: tuple) -> None:
    shape, data_type, fortran, raw = state[-4:]
    if array.size or not isinstance(raw, bytes):
        raise _ForbiddenError("an array of Python objects")
    if min(shape, default=0) < 0 or math.prod(shape) * data_type.dtype.itemsize != len(raw):
        raise ValueError("an array of another size than its bytes")
    array.__setstate__((1, tuple(shape), data_type.dtype, bool(fortran), raw))


def _encode(text: str, encoding: str | bytes) -> bytes:
    if encoding not in ("latin1", b"latin1"):
        raise _ForbiddenError(f"the encoding {encoding!r}")
    return text.encode("latin1")  # how Python 3 writes bytes in protocols that only knew text


def _empty_bytes() -> bytes:
    return b""


_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _DataType,
    ("numpy", "ndarray"): None,  # only ever named as the argument of _reconstruct
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): collections.OrderedDict,
}
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _empty_array
    _NAMES[f"{_core}.multiarray", "scalar"] = _scalar
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _from_bytes
for _builtins in ("__builtin__", "builtins"):  # Python 2 and 3
    _NAMES[_builtins, "bytes"] = _empty_bytes
    _NAMES[_builtins, "set"] = set
    _NAMES[_builtins, "frozenset"] = frozenset


class _ImageUnpickler(pickle._Unpickler):
    """The standard library's unpickler written in Python, because the one in C cannot refuse an opcode.

    Of the opcodes that run code it keeps REDUCE (call one of the names above) and BUILD (restore an array or
    a dtype); names with dots are looked up whole, so none reaches an attribute of an allowed one.
    """

    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise _ForbiddenError(f"{module}.{name}") from None

    def restore(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, _DataType):
            target.restore(state)
        elif isinstance(target, np.ndarray):
            _restore_array(target, state)
        else:
            raise _ForbiddenError(f"the state of a {type(target).__name__}")

    dispatch[pickle.BUILD[0]] = restore


def _refuse(opcode: str) -> Callable[[Any], None]:
    def refuse(unpickler: Any) -> None:
        raise _ForbiddenError(f"the opcode {opcode}")

    return refuse


for _opcode in ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"):
    _ImageUnpickler.dispatch[getattr(pickle, _opcode)[0]] = _refuse(_opcode)
