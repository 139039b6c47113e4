"""A GPU that computes nothing: torch's own CUDA code over NVIDIA's libraries replaced by empty ones.

The C files of null_cuda/ become one library, which a child process loads before torch's. There, torch's allocator,
streams, CUDA graphs, inductor and Triton run as on a GPU: kernels are counted by name, the host's time is real, and
the values are zeros. What torch computes is the pretended GPU's business (pretended_gpu.py); this one shows what the
host does, which waits torch's own debug mode reports, and that kernels compile for a given compute capability.

A child imports this module as well, for `counts` and `fail_at`.
"""

import ctypes
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SOURCES = HERE / "null_cuda"
NEEDED = ("cuda.h", "driver_types.h", "crt/host_defines.h")
PREFIXES = ("cuda", "__cuda", "cublas", "cudnn", "nccl")  # of the functions that torch takes from NVIDIA's libraries
TORCH_LIBRARIES = ("c10_cuda", "torch_cuda", "torch_python", "torch_cuda_linalg")
SECONDS, CPU_SECONDS = 600, 150  # the most that a child may take by the clock, and of the processor
TOTALS = ("launches", "graph_launches", "replayed_nodes", "waits", "allocations", "captures")
FAILURES = ("launch", "capture", "instantiate", "replay")


def headers() -> Path | None:
    """A folder with CUDA's headers: the toolkit's, or the one in Triton's wheel."""
    folders = [Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "include"]
    if (triton := find_spec("triton")) and triton.origin:
        folders.insert(0, Path(triton.origin).parent / "backends/nvidia/include")
    return next((f for f in folders if all((f / name).is_file() for name in NEEDED)), None)


def missing() -> str | None:
    """Why there can be no null GPU here, or None."""
    if sys.platform != "linux" or not (torch.version.cuda or "").startswith("13."):
        return "the null GPU needs Linux and a build of torch for CUDA 13"
    if torch.cuda.is_available():
        return "there is a real GPU, which the null GPU would hide"
    if lacking := [tool for tool in ("gcc", "nm") if not shutil.which(tool)]:
        return f"the null GPU needs {' and '.join(lacking)}"
    return None if headers() else "the null GPU needs CUDA's headers: install triton, or the toolkit with CUDA_HOME set"


def build(folder: Path) -> Path:
    """Compile the library into `folder`."""
    flags = ("gcc", "-O2", "-fPIC", "-w", "-I", str(headers()))
    objects = []
    for source in sorted(SOURCES.glob("*.c")):
        objects.append(folder / f"{source.stem}.o")
        subprocess.run([*flags, "-c", source, "-o", objects[-1]], check=True)
    stubs = folder / "stubs.c"  # functions that torch links against and the tests never reach
    stubs.write_text("".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(_wanted() - _defined(objects))))
    library = folder / "libcuda.so.1"
    libraries = ("-ldl", "-lpthread", "-Wl,-soname,libcuda.so.1")
    subprocess.run([*flags, "-shared", "-o", library, *objects, stubs, *libraries], check=True)
    (folder / "libcuda.so").symlink_to(library.name)
    return library


def _wanted() -> set[str]:
    folder = Path(torch.__file__).parent / "lib"
    listed = [_symbols("-D", "--undefined-only", folder / f"lib{name}.so") for name in TORCH_LIBRARIES]
    return {symbol for symbols in listed for symbol in symbols if symbol.startswith(PREFIXES)}


def _defined(objects: list[Path]) -> set[str]:
    return {symbol for path in objects for symbol in _symbols("--defined-only", "--extern-only", path)}


def _symbols(*words: str | Path) -> set[str]:
    listed = subprocess.run(["nm", *words], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1].partition("@")[0] for line in listed.splitlines() if line.split()}


def environment(library: Path, capability: str = "9.0", gpus: int = 1) -> dict[str, str]:
    """The environment of a child with `gpus` null GPUs of a compute capability."""
    major, minor = capability.split(".")
    return os.environ | {
        "LD_PRELOAD": str(library), "TRITON_LIBCUDA_PATH": str(library.parent),
        "NULL_GPU_MAJOR": major, "NULL_GPU_MINOR": minor, "NULL_GPU_COUNT": str(gpus),
        "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(library.parent / "inductor"), "TRITON_CACHE_DIR": str(library.parent / "triton"),
    }  # fmt: skip


def limit_processor_time() -> None:
    """For a child, before it starts: a loop without end is stopped, however slow a busy machine is."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))


class Counts:
    """What a child did since `reset`; see `null_cuda/runtime.c`."""

    def __init__(self):
        self._library = ctypes.CDLL(None)
        self._library.null_total.restype = self._library.null_times.restype = ctypes.c_longlong
        self._library.null_name.restype = ctypes.c_char_p

    def reset(self) -> None:
        self._library.null_reset()

    def totals(self) -> dict[str, int]:
        """Launches, graphs and waits; `replayed_nodes` are those of the graphs that were launched."""
        return {name: self._library.null_total(i) for i, name in enumerate(TOTALS)}

    def names(self) -> Counter[str]:
        """Launched kernels, recorded nodes and waits by name, as the compiler spells it."""
        found: Counter[str] = Counter()
        for slot in range(self._library.null_names()):
            if name := self._library.null_name(slot):
                found[name.decode(errors="replace")] += self._library.null_times(slot)
        return found

    def fail_at(self, what: str, call: int) -> None:
        """Let the `call`-th next call of a kind of FAILURES fail; 0 takes the order back."""
        self._library.null_fail(FAILURES.index(what), call)
