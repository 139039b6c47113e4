"""Pickles that must be read the way `pickle.load` reads them, and pickles that must not be read at all."""

import collections
import contextlib
import io
import os
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from image_sources import python2_pickle
from limits import within_limits

from kit.data.unpickle import read_dictionary, read_pickle
from kit.errors import KitError

PROTOCOLS = range(6)


def read(content: bytes) -> Any:
    return read_pickle(io.BytesIO(content))


def assert_same(actual: Any, expected: Any) -> None:
    """Equal values of equal types, arrays included."""
    assert type(actual) is type(expected)
    if isinstance(expected, np.ndarray):
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key in expected:
            assert_same(actual[key], expected[key])
    else:
        assert actual == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        {b"data": np.arange(24, dtype=np.uint8).reshape(2, 12), b"ids": [3, 4]},
        {"data": np.arange(24, dtype=np.uint8).reshape(2, 12).T, "ids": np.array([7, 1])},
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(0, 2, 1),
        np.arange(6, dtype=">i4"),
        np.array(["cat", "dog"]),
        np.array([True, False]),
        np.empty((0, 3072), np.uint8),
        [np.int64(5), np.float32(0.5), np.bool_(True)],
        {"set": {1, 2}, "frozen": frozenset({3}), "nothing": None, "empty": b"", "big": 2**70},
        collections.OrderedDict(a=1, b=(2.5, "ü")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_protocol_reads_as_pickle_itself_reads(value, protocol):
    content = pickle.dumps(value, protocol)
    assert_same(read(content), pickle.loads(content))


INTEGERS = st.one_of(arrays_of.integer_dtypes(), arrays_of.unsigned_integer_dtypes(), arrays_of.boolean_dtypes())
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@given(
    value=arrays_of.arrays(INTEGERS, SHAPES),
    protocol=st.sampled_from(PROTOCOLS),
    axes=st.randoms(use_true_random=False),
)
@settings(max_examples=100, deadline=None)
def test_any_integer_array_survives(value, protocol, axes):
    order = list(range(value.ndim))
    axes.shuffle(order)
    value = value.transpose(order)
    content = pickle.dumps(value, protocol)
    assert_same(read(content), pickle.loads(content))
    np.testing.assert_array_equal(read(content), value)


def test_numpy_1_names_are_read():
    content = pickle.dumps({"data": np.arange(4), "one": np.int64(1)}, 2)
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in old
    assert_same(read(old), {"data": np.arange(4), "one": np.int64(1)})


def test_a_python_2_pickle_is_read():
    pixels = np.arange(256, dtype=np.uint8).repeat(24).reshape(2, 3072)
    content = python2_pickle({"data": pixels, "labels": [0, 1], "filenames": ["a.png", "b.png"]})
    batch = read(content)
    assert_same(batch, pickle.loads(content, encoding="bytes"))
    np.testing.assert_array_equal(batch[b"data"], pixels)
    assert batch[b"filenames"] == [b"a.png", b"b.png"]
    assert list(read_dictionary(io.BytesIO(content))) == ["data", "labels", "filenames"]


def test_a_path_is_read_and_named_in_the_error(tmp_path):
    path = tmp_path / "some.pkl"
    path.write_bytes(pickle.dumps([1]))
    assert read_pickle(path) == [1]
    path.write_bytes(b"no pickle at all")
    with pytest.raises(KitError, match=r"some\.pkl is not a readable pickle"):
        read_pickle(path)
    with pytest.raises(KitError, match=r"absent\.pkl cannot be read"):
        read_pickle(tmp_path / "absent.pkl")


def test_every_truncation_is_refused():
    content = pickle.dumps({b"data": np.arange(8, dtype=np.uint8), b"ids": [1, 2]}, 4)
    for length in range(len(content)):
        with pytest.raises(KitError, match="not a readable pickle"):
            read(content[:length])


@within_limits
@given(st.binary(max_size=300), st.integers(0, 200))
@settings(max_examples=300, deadline=5000)
def test_noise_is_read_or_refused_and_nothing_else(noise, position):
    content = pickle.dumps({b"data": np.arange(8, dtype=np.uint8), b"ids": [1, 2]}, 4)
    for damaged in (noise, content[:position] + noise + content[position + len(noise) :]):
        with contextlib.suppress(KitError):
            read(damaged)


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any):
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_a_pickle_that_runs_a_command_is_refused_before_it_runs(tmp_path):
    proof = tmp_path / "ran"
    for protocol in PROTOCOLS:
        with pytest.raises(KitError, match=r"asks for (posix|nt)\.system"):
            read(pickle.dumps({b"data": Calls(os.system, f"touch {proof}")}, protocol))
    assert not proof.exists()


def stack_global(module: str, name: str) -> bytes:
    return b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)) + b"\x93"


def crafted_object_array() -> bytes:
    """An array whose dtype says: pointers to Python objects, taken from these raw bytes."""
    empty = pickle.dumps(np.empty(0, np.uint8), 4)
    state = (1, (1,), np.dtype("u1"), False, b"\xef\xbe\xad\xde\x00\x00\x00\x00")
    content = pickle.dumps(state, 4).replace(b"\x8c\x02u1", b"\x8c\x01O")
    return empty[:-1] + content[2:-1] + b"b."


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04" + stack_global("builtins", "eval") + b"\x8c\x011\x85R.",
        b"\x80\x04" + stack_global("builtins", "set.__class__") + b".",
        b"\x80\x04" + stack_global("numpy", "ndarray.tofile") + b".",
        b"\x80\x04" + stack_global("numpy", "dtype.__init__.__globals__") + b".",
        b"\x80\x04" + stack_global("kit.data.unpickle", "read_pickle") + b".",
        b"\x80\x04" + stack_global("_codecs", "encode") + b"\x8c\x01a\x8c\x05rot13\x86R.",
        b"(ios\nsystem\n.",
        b"(cos\nsystem\no.",
        b"\x80\x02" + b"c__builtin__\nset\n)\x81.",
        b"\x80\x02c_codecs\nencode\nN}U\x08__name__K\x01s\x86b.",
        b"\x80\x02]}U\x01aK\x01sb.",
        b"\x82\x01.",
        b"Psome id\n.",
        pickle.dumps(np.array([{"an": "object"}], dtype=object)),
        pickle.dumps(np.zeros(2, [("field", "i4")])),
        pickle.dumps(np.zeros(2, "M8[s]")),
        crafted_object_array(),
    ],
)
def test_what_no_array_needs_is_refused(content):
    with pytest.raises(KitError, match="was not read because it asks for"):
        read(content)


def test_an_array_with_more_elements_than_bytes_is_refused():
    content = pickle.dumps(np.arange(4, dtype=np.uint8), 4)
    larger = content.replace(b"K\x04\x85", b"K\x09\x85")
    assert larger != content
    with pytest.raises(KitError, match="not a readable pickle"):
        read(larger)
