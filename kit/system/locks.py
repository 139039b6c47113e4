"""One owner at a time: locks between processes of one machine, and between machines that share a folder.

A lock is a small file that names its owner. If the file system has flock, the operating system says whether the owner
lives. NFS, Lustre and Google Drive often lack it ("No locks available"), and some grant it on each machine separately.
So the file also says on which machine the owner runs, and the owner writes to it every few seconds. An owner is dead
if its process is gone from this machine, or if it runs elsewhere and the file has not changed for a minute.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile

from kit.errors import KitError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TRAINING = ".training.lock"  # in a run folder: who trains there
JOB = ".job.lock"  # in a run folder: the sweep's process that runs the notebook there
BEAT_SECONDS = 5.0  # between two signs of life
DEAD_SECONDS = 60.0  # without a sign of life, after which an owner on another machine counts as dead
_POLL_SECONDS = 0.1
_SETTLE_SECONDS = 0.3  # after taking over without flock; another process that takes over meanwhile shows by then


class Lock:
    """The right to be the only one that works on something, from `acquire` to `release` or the end of the process.

    Args:
        path: the lock's file. It exists while somebody owns the lock, or after an owner was killed.
        subject: what is owned, as the sentence for a second owner begins: `runs/paper`.
    """

    def __init__(self, path: str | Path, subject: str):
        self.path, self.subject = Path(path), subject
        self._owner = {**_this_process(), "token": uuid.uuid4().hex}
        self._handle: int | None = None  # open while flock holds; None without flock
        self._released = threading.Event()
        self._beating: threading.Thread | None = None

    def acquire(self, wait: float = 0.0) -> None:
        """Become the owner.

        Args:
            wait: seconds to wait for the end of another owner.

        Raises:
            KitError: another process owns it, and still does after `wait` seconds; or the file cannot be written.
        """
        limit = time.monotonic() + wait
        while (owner := self._try()) is not None:
            if time.monotonic() >= limit:
                raise KitError(f"{self.subject} is in use by {_in_words(owner)}: wait until it ends, or stop it")
            time.sleep(_POLL_SECONDS)
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def release(self) -> None:
        """Give the lock back and remove its file."""
        self._released.set()
        if self._beating is not None:
            self._beating.join()
        if self._is_ours():
            with suppress(OSError):
                self.path.unlink()
        self._close()

    def check(self) -> None:
        """Make sure that this process is still the owner: one that slept for minutes may have been taken for dead.

        Raises:
            KitError: another process took over.
        """
        if not self._is_ours():
            raise KitError(f"{self.subject} was taken over by {_in_words(_read(self.path))}, so this process ends")

    def _is_ours(self) -> bool:
        return _read(self.path).get("token") == self._owner["token"]

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _try(self) -> Mapping[str, object] | None:
        """Try to become the owner; return the present owner if that fails."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, created = _open(self.path)
            locked = _flock(handle)
            if locked and _is_at(handle, self.path):
                self._handle = handle
                return self._try_with_flock()
            os.close(handle)
            return self._try_without_flock(created) if locked is None else _read(self.path)
        except (FileNotFoundError, FileExistsError) as error:  # another process removed or created it in between
            if self.path.parent.is_dir():
                return _read(self.path)
            raise self._refused(error) from error
        except OSError as error:
            self._close()
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> KitError:
        reason = error.strerror or str(error)
        return KitError(f"cannot write {self.path}: {reason}; choose a folder you can write to")

    def _try_with_flock(self) -> Mapping[str, object] | None:
        owner = _read(self.path)
        if owner and owner.get("machine") != self._owner["machine"] and not _is_silent(self.path):
            self._close()
            return owner
        self._write()
        return None

    def _try_without_flock(self, created: bool) -> Mapping[str, object] | None:
        if not created:
            owner = _read(self.path)
            if not _is_dead(owner, self.path):
                return owner
            if not _take_away(self.path, owner):
                return _read(self.path)
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        self._write()
        if not created:
            time.sleep(_SETTLE_SECONDS)
        return None if self._is_ours() else _read(self.path)

    def _write(self) -> None:
        with self.path.open("r+b") as file:
            file.write(json.dumps(self._owner).encode().ljust(400))
            file.truncate()
            file.flush()
            os.fsync(file.fileno())

    def _beat(self) -> None:
        while not self._released.wait(BEAT_SECONDS):
            with suppress(OSError):
                if self._is_ours():
                    self._write()


@contextmanager
def owned(path: str | Path, subject: str, wait: float = 0.0) -> Iterator[Lock]:
    """Own the lock while the block runs.

    Raises:
        KitError: as in `Lock.acquire`.
    """
    lock = Lock(path, subject)
    lock.acquire(wait)
    try:
        yield lock
    finally:
        lock.release()


def _open(path: Path) -> tuple[int, bool]:
    """A handle of the file, and whether this call created it."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
    except FileExistsError:
        return os.open(path, os.O_RDWR), False


def _flock(handle: int) -> bool | None:
    """Lock an open file: True if that worked, False if another process has the lock, None without flock."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # ENOLCK, ENOSYS, EOPNOTSUPP and others, by the file system
        return None
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`: its last owner may have removed it."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _read(path: Path) -> Mapping[str, object]:
    """What the file says of its owner; nothing if it is missing, just being created, or garbled."""
    try:
        owner = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_dead(owner: Mapping[str, object], path: Path) -> bool:
    here, process = _this_process(), owner.get("process")
    if owner.get("machine") == here["machine"] and here["began"] is not None and isinstance(process, int):
        return _began(process) != owner.get("began")
    return _is_silent(path)


def _is_silent(path: Path) -> bool:
    """Whether the owner gave no sign of life for a minute, by the file system's clock, which all machines share."""
    with TemporaryFile(prefix=".clock-", dir=path.parent) as now, path.open("rb") as file:
        now.write(b".")
        now.flush()
        return os.fstat(now.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime > DEAD_SECONDS


def _take_away(path: Path, owner: Mapping[str, object]) -> bool:
    """Move a dead owner's file away; False if another process was faster, whose file is put back."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    os.rename(path, aside)
    taken = _read(aside) == owner
    if not taken:
        with suppress(OSError):
            os.link(aside, path)
    aside.unlink()
    return taken


def _this_process() -> dict[str, object]:
    """Who asks for a lock; `machine` tells apart hosts, restarts of a host, and containers on it."""
    machine = socket.gethostname()
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        machine += f"/{boot}/{os.readlink('/proc/self/ns/pid')}"
    return {
        "host": socket.gethostname(),
        "machine": machine,
        "process": os.getpid(),
        "began": _began(os.getpid()),
        "since": datetime.now(UTC).isoformat(" ", timespec="seconds"),
    }


def _began(process: int) -> str | None:
    """When a process of this machine started, in clock ticks; None if it has ended, or on systems without /proc."""
    try:
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[0] in "ZX" else words[19]  # a zombie has ended


def _in_words(owner: Mapping[str, object]) -> str:
    if not owner:
        return "another process"
    return f"process {owner.get('process')} on {owner.get('host')} since {owner.get('since')}"
