"""What the machines of a cluster need for a job: the same folder, and an environment that names everything."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kit.system import files
from kit.system.machine import environment_of_child
from kit.system.paths import ROOT, workspace

_TRAVELLING = ("CIFAR10_DIR", "OMP_NUM_THREADS", "XDG_CACHE_HOME", "PYTHONPATH")  # what a job reads of the environment


def environment() -> dict[str, str]:
    """The variables of this machine that a job reads, for a process that another machine starts."""
    everything = environment_of_child()
    return {name: everything[name] for name in _TRAVELLING if name in everything}


@contextmanager
def message_to_nodes() -> Iterator[tuple[Path, str]]:
    """A file in runs/ with a word that nobody can guess: who reads it sees this folder."""
    word = uuid.uuid4().hex
    path = workspace() / "runs" / f".seen-{word}"
    files.write_text(path, word)
    try:
        yield path, word
    finally:
        path.unlink(missing_ok=True)
        for answer in path.parent.glob(f"{path.name}-*"):
            answer.unlink(missing_ok=True)


def not_shared(node: str, why: str) -> str:
    """The sentence about a node that does not share the folder."""
    return (
        f"{node} {why}: every machine of the cluster has to see {ROOT} and {workspace() / 'runs'} under the same path "
        "(a shared file system such as NFS or Lustre)"
    )


def threads(cores: int, given: Mapping[str, str]) -> str:
    """OMP_NUM_THREADS of a job that has so many cores, unless the user's environment says it."""
    return given.get("OMP_NUM_THREADS") or str(max(cores, 1))
