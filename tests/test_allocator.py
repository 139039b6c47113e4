"""Keeping freed memory: pages are taken once on Linux and given back in the end, and other systems are left alone."""

import subprocess
import sys

import pytest
import torch

from kit.system import allocator

PROGRAM = """
import resource, numpy, torch
from pathlib import Path
from kit.system.allocator import freed_memory_kept
def pages_taken(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        numpy.ones(1_500_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def pages_held():
    return int(Path("/proc/self/statm").read_text().split()[1])
before = pages_held()
with freed_memory_kept(torch.device("cpu")) as kept:
    assert kept
    pages_taken(10)  # the heap needs a few to find its places
    print(pages_taken(5), pages_held() - before)
print(pages_held() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_an_array_as_large_as_the_last_takes_no_new_pages_and_the_last_are_given_back():
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    taken, held, afterwards = map(int, answer.stdout.split())
    assert taken < 500  # 5 times 12 MB would be 14,600 pages of 4 KiB
    assert held > 2500 and afterwards < 1000


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    with allocator.freed_memory_kept(torch.device("cpu")) as kept:
        assert not kept


def test_work_on_a_gpu_is_left_alone():
    with allocator.freed_memory_kept(torch.device("cuda")) as kept:
        assert not kept
