"""What runs inside Ray on a node: it starts a job process there, and answers whether the node sees the shared folder.

Both are sent to the node by value and import nothing of the kit, so that no path has to be set before.
"""

import os
import signal
import subprocess
import sys
import threading
import time


class Runner:
    """An actor that runs one job."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def where(self) -> str:
        """The node, and its GPU if the job has one."""
        import ray

        gpus = ",".join(map(str, ray.get_runtime_context().get_accelerator_ids()["GPU"]))
        return f"{ray.util.get_node_ip_address()}{f' GPU {gpus}' if gpus else ''}"

    def run(self, words: list[str], log: str, changes: dict[str, str], folder: str) -> int:
        """Run the job and return its exit status, or minus the number of the signal that ended it.

        Args:
            words: arguments of Python, but for the process number of the parent.
            log: the file that gets its output.
            changes: its environment, where it differs from Ray's.
            folder: in which it works.
        """
        import ray

        gpus = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus)), **changes}
        os.makedirs(os.path.dirname(log), exist_ok=True)
        print("its output goes to", log, flush=True)  # in Ray's own log of this actor
        with self._lock, open(log, "a") as output:
            if self._stopped:
                return 0
            command = [sys.executable, *words, str(os.getpid())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=folder
            )
        return self._process.wait()

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Send the job a signal, after which none starts any more. SIGTERM asks it to save and end."""
        with self._lock:
            self._stopped = True
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(signum)


def answer(path: str, node: str, seconds: float) -> str:
    """Read the message on a node, for which a slow file system has so many seconds, and leave an answer beside it."""
    limit = time.monotonic() + seconds
    while not os.path.exists(path) and time.monotonic() < limit:
        time.sleep(0.5)
    with open(path) as message, open(f"{path}-{node}", "w") as answer:
        word = message.read()
        answer.write(word)
    return word
