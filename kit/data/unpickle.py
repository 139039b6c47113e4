"""Read pickles of images without trusting them: numpy arrays, scalars and plain containers, and nothing else.

A pickle is a program, and the competition's files are pickles from the internet. A pickle of arrays asks for a handful
of functions by name. Only these names are allowed, and here they mean functions that check their arguments. Protocols
0 to 5 are read, as written by Python 2 or 3 with numpy 1 or 2.

Memory and time are bounded by the size of the file: no number in it decides how much memory is taken, copies of stored
values are counted, and files, steps and keys have limits that CIFAR-10 stays far below.
"""

import collections
import math
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from kit.errors import KitError
from kit.system.paths import given

_LARGEST_FILE = 256 << 20  # bytes; 60,000 images are 184 million
_MOST_STEPS = 1_000_000  # instructions of a pickle; a batch of CIFAR-10 has 50,000
_MOST_KEYS = 10_000  # in all dictionaries and sets together: keys that were made to collide are slow
_LONGEST_NAME = 100  # characters of a name in a message


def read_pickle(source: str | Path | BinaryIO, name: str = "the pickle") -> Any:
    """Read a pickle of numpy arrays and plain containers.

    Strings that Python 2 wrote are returned as bytes, as `pickle.load(file, encoding="bytes")` does.

    Args:
        source: a path or a file opened for reading bytes.
        name: what an error calls an open file.

    Raises:
        KitError: it is not a pickle, it is cut off, or it asks for anything but numbers and containers.
    """
    if isinstance(source, str | Path):
        name = str(source)
        content = _read_bytes(given(source))
    else:
        content = source.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise KitError(f"{name} has more than {_LARGEST_FILE >> 20} MB, more than CIFAR-10 needs; get the original")
    try:
        return _ImageUnpickler(_Steps(content)).load()
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
    """Read a pickled dictionary as `read_pickle` does; its keys become text.

    Raises:
        KitError: as `read_pickle`, and if the pickle is no dictionary.
    """
    content = read_pickle(source, name)
    if not isinstance(content, dict):
        where = name if not isinstance(source, str | Path) else source
        raise KitError(
            f"{where} holds a {type(content).__name__}, but a dictionary of arrays is needed; "
            "download the original again"
        )
    return {as_text(key): value for key, value in content.items()}


def as_text(value: Any) -> str:
    """The text of a string that Python 2 or 3 pickled."""
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _read_bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise KitError(f"{path} is no file; pass the path of a pickle")
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise KitError(f"{path} cannot be read: {error.strerror}; pass the path of a pickle") from None


class _ForbiddenError(Exception):
    """A pickle asks for something that is not allowed; the message says what."""


class _Steps:
    """The bytes of a pickle as a file for the unpickler, which counts the reads."""

    def __init__(self, content: bytes):
        self.content, self.place, self.left = content, 0, _MOST_STEPS

    def read(self, size: int) -> bytes:
        self._count()
        if not 0 <= size <= len(self.content) - self.place:
            raise EOFError
        self.place += size
        return self.content[self.place - size : self.place]

    def readline(self) -> bytes:
        self._count()
        end = self.content.find(b"\n", self.place) + 1
        if not end:
            raise EOFError
        line, self.place = self.content[self.place : end], end
        return line

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise _ForbiddenError(f"more than {_MOST_STEPS:,} steps")


class _DataType:
    """Replaces numpy.dtype while reading.

    numpy believes everything that a pickle says about a dtype, even that raw bytes are pointers to Python objects. This
    class accepts the kind, the size and the byte order of plain numbers and strings, and nothing else.
    """

    def __init__(self, code: str | bytes, *_: Any):
        if not isinstance(code, str | bytes) or len(code) > 16:
            raise _ForbiddenError("an array of unknown type")
        self.dtype = np.dtype(code.decode("ascii") if isinstance(code, bytes) else str(code))
        if self.dtype.kind not in "biufSU":
            raise _ForbiddenError(f"an array of {str(self.dtype)[:_LONGEST_NAME]}")

    def restore(self, state: tuple) -> None:
        order, *structure = state[1:5]
        if structure != [None, None, None]:
            raise _ForbiddenError("a structured array")
        code: Any = order.decode("ascii") if isinstance(order, bytes) else order
        self.dtype = self.dtype.newbyteorder(code)


def _from_bytes(
    raw: bytes | bytearray, data_type: _DataType, shape: tuple, order: Any, axes: tuple | None = None
) -> np.ndarray:
    flat = np.frombuffer(raw, data_type.dtype)
    if order == "K" and axes is not None:  # numpy 2.3 and later store an array with permuted axes in memory order
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
    state = 1, tuple(shape), data_type.dtype, bool(fortran), raw
    array.__setstate__(state)  # type: ignore[arg-type]  # numpy's stub wants a numpy.bool, numpy takes any bool


def _encode(text: str, encoding: str | bytes) -> bytes:
    if not isinstance(encoding, str | bytes) or encoding not in ("latin1", b"latin1"):
        raise _ForbiddenError(f"the encoding {_name(encoding)}")
    return text.encode("latin1")  # Python 3 writes bytes so in protocols that have text only


def _empty_bytes() -> bytes:
    return b""


def _name(value: Any) -> str:
    """A value from a pickle for a message: shortened text, or the type of anything else."""
    return repr(value[:_LONGEST_NAME]) if isinstance(value, str | bytes) else f"a {type(value).__name__}"


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


_STANDARD: Any = pickle._Unpickler  # typeshed does not know the methods of its opcodes


class _ImageUnpickler(pickle._Unpickler):
    """The standard library's unpickler in Python, since the one in C cannot refuse an opcode.

    Of the opcodes that run code it keeps REDUCE (call one of the names above) and BUILD (restore an array or a dtype).
    A name with dots is looked up as a whole, so that it cannot reach an attribute of an allowed name.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    # what `load` sets
    stack: list[Any]
    metastack: list[list[Any]]
    read: Callable[[int], bytes]

    def __init__(self, steps: _Steps):
        super().__init__(steps, encoding="bytes")
        self.steps = steps
        self.copies_left = 2 * len(steps.content)  # bytes or items: text is encoded, then copied into an array
        self.keys_left = _MOST_KEYS

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise _ForbiddenError(f"{module[:_LONGEST_NAME]}.{name[:_LONGEST_NAME]}") from None

    def restore(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, _DataType):
            target.restore(state)
        elif isinstance(target, np.ndarray):
            self.count_copies(state[-1])
            _restore_array(target, state)
        else:
            raise _ForbiddenError(f"the state of a {type(target).__name__}")

    def call(self) -> None:
        """Run REDUCE, after counting what it copies and checking its keys."""
        function, arguments = self.stack[-2:]
        for argument in arguments:
            self.count_copies(argument)
        if function in (set, frozenset) and arguments:
            self.check_keys(arguments[0])
        if function is collections.OrderedDict and arguments:
            self.check_keys([pair[0] for pair in arguments[0]])
        _STANDARD.load_reduce(self)

    def count_copies(self, value: Any) -> None:
        self.copies_left -= len(value) if isinstance(value, str | bytes | bytearray | list | tuple) else 0
        if self.copies_left < 0:
            raise _ForbiddenError("more copies than the file has bytes")

    def check_keys(self, keys: Iterable) -> None:
        """Allow plain keys only: deeply nested tuples can take for ever to hash."""
        for key in keys:
            self.keys_left -= 1
            if not isinstance(key, str | bytes | int | float | None):
                raise _ForbiddenError(f"a key that is a {type(key).__name__}")
            if self.keys_left < 0:
                raise _ForbiddenError(f"more than {_MOST_KEYS:,} keys")

    def fill(self, original: Callable[[Any], None], kind: type, one_pair: bool) -> None:
        """Add a pair or marked items to a dictionary or a set."""
        target = self.stack[-3] if one_pair else self.metastack[-1][-1]
        if not isinstance(target, kind):
            raise _ForbiddenError(f"items in a {type(target).__name__}")
        self.check_keys([self.stack[-2]] if one_pair else self.stack[:: 2 if kind is dict else 1])
        original(self)

    def make(self, original: Callable[[Any], None], step: int) -> None:
        """Make a dictionary or a frozen set from the marked items."""
        self.check_keys(self.stack[::step])
        original(self)

    def lengthen(self, original: Callable[[Any], None], target: Any) -> None:
        if not isinstance(target, list):
            raise _ForbiddenError(f"items in a {type(target).__name__}")
        original(self)

    def read_frame(self) -> None:
        self.read(8)  # the length of a frame is only a hint for slow files

    def read_bytearray(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        self.stack.append(bytearray(self.read(size)))  # `read` refuses a size beyond the end before memory is taken

    dispatch[pickle.BUILD[0]] = restore
    dispatch[pickle.REDUCE[0]] = call
    dispatch[pickle.FRAME[0]] = read_frame
    dispatch[pickle.BYTEARRAY8[0]] = read_bytearray
    dispatch[pickle.SETITEM[0]] = lambda self: self.fill(_STANDARD.load_setitem, dict, True)
    dispatch[pickle.SETITEMS[0]] = lambda self: self.fill(_STANDARD.load_setitems, dict, False)
    dispatch[pickle.ADDITEMS[0]] = lambda self: self.fill(_STANDARD.load_additems, set, False)
    dispatch[pickle.DICT[0]] = lambda self: self.make(_STANDARD.load_dict, 2)
    dispatch[pickle.FROZENSET[0]] = lambda self: self.make(_STANDARD.load_frozenset, 1)
    dispatch[pickle.APPEND[0]] = lambda self: self.lengthen(_STANDARD.load_append, self.stack[-2])
    dispatch[pickle.APPENDS[0]] = lambda self: self.lengthen(_STANDARD.load_appends, self.metastack[-1][-1])


def _refuse(opcode: str) -> Callable[[Any], None]:
    def refuse(unpickler: Any) -> None:
        raise _ForbiddenError(f"the opcode {opcode}")

    return refuse


for _opcode in ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"):
    _ImageUnpickler.dispatch[getattr(pickle, _opcode)[0]] = _refuse(_opcode)
