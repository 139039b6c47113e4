"""Keeping freed memory: the C library agrees on Linux, and other systems are left alone."""

import subprocess
import sys

import pytest

from kit import allocator

PROGRAM = """
import resource, torch
from kit.allocator import keep_freed_memory
assert keep_freed_memory() is {keep}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):  # the heap needs a few to find its places
    torch.ones(3_000_000)
before = faults()
for _ in range(5):
    torch.ones(3_000_000)
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_a_tensor_as_large_as_the_last_takes_no_new_pages():
    kept = subprocess.run([sys.executable, "-c", PROGRAM.format(keep=True)], capture_output=True, text=True, check=True)
    assert int(kept.stdout) < 500  # 5 times 12 MB would be 14,600 pages of 4 KiB


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert allocator.keep_freed_memory() is False
