"""Which device and which floating-point precision to compute with, and what the machine cannot do.

Functions import torch when they run: the words alone are also for the command line, which answers without torch.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import KitError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "bf16", "fp16", "fp32")
COMPILE = ("auto", "on", "off")  # whether torch.compile makes faster kernels; auto does it where that saves time
_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_BF16_FROM = (8, 0)  # compute capability of the first GPUs with bfloat16 tensor cores (A100)
_TENSOR_CORES_FROM = (7, 0)  # of the first GPUs with float16 tensor cores (V100)


def default_device() -> "torch.device":
    """The first GPU if there is one (under torchrun, the GPU of this process), otherwise the CPU.

    Raises:
        KitError: this torch has no kernels for the GPU.
    """
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", torch.cuda.current_device())
    check_kernels(device)
    return device


def check_kernels(device: "torch.device") -> None:
    """Make sure that the installed torch can compute on `device`.

    A GPU that is older than every architecture that torch was built for is visible, and fails at its first kernel.
    Kaggle's P100 does so with recent versions of torch.

    Raises:
        KitError: torch has no kernels for this GPU.
    """
    import torch

    if device.type != "cuda":
        return
    capability = torch.cuda.get_device_capability(device)
    built_for = [word for word in torch.cuda.get_arch_list() if word.startswith(("sm_", "compute_"))]
    if built_for and not any(_runs(word, capability) for word in built_for):
        raise KitError(
            f"torch {torch.__version__} has no kernels for this GPU, {torch.cuda.get_device_name(device)} (compute "
            f"capability {capability[0]}.{capability[1]}; kernels exist for {', '.join(built_for)}): choose another "
            "accelerator (on Kaggle: GPU T4 x2), or set CUDA_VISIBLE_DEVICES to nothing to train on the CPU"
        )


def _runs(built_for: str, capability: tuple[int, int]) -> bool:
    """Whether `sm_75` (machine code: same major version) or `compute_75` (compiled when loaded) runs on a GPU."""
    kind, _, number = built_for.partition("_")
    digits = "".join(c for c in number if c.isdigit())  # sm_90a has a letter
    version = int(digits[:-1]), int(digits[-1])
    return version <= capability and (kind == "compute" or version[0] == capability[0])


def precision(device: "torch.device", amp: str = "auto") -> "torch.dtype":
    """The floating-point type of convolutions and matrix products.

    `auto` is bfloat16 on GPUs from compute capability 8.0 and on CPUs with bfloat16 instructions, float16 on
    older GPUs with tensor cores (7.0 and later, such as the T4), and float32 on all others. The capability decides, not
    `torch.cuda.is_bf16_supported()`, which also answers yes if bfloat16 is only emulated.

    Raises:
        KitError: `amp` is not one of PRECISIONS; it is fp16 on a CPU, which is slower than float32 there; or it is bf16
            on a GPU without bfloat16 tensor cores, which cuDNN does not serve: every convolution becomes a loop of
            small kernels.
    """
    import torch

    if amp not in PRECISIONS:
        raise KitError(f"amp has to be one of {', '.join(PRECISIONS)}, not {amp!r}")
    if amp == "fp16" and device.type == "cpu":
        raise KitError("amp fp16 needs a GPU: use bf16 or fp32 on a CPU")
    if amp == "bf16" and device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability < _BF16_FROM:
            raise KitError(
                f"amp bf16 needs a GPU of compute capability 8.0 or higher (A100, L4, H100), not {capability[0]}."
                f"{capability[1]} as {torch.cuda.get_device_name(device)} has: use auto, fp16 or fp32"
            )
    return _automatic(device) if amp == "auto" else getattr(torch, _DTYPES[amp])


def _automatic(device: "torch.device") -> "torch.dtype":
    import torch

    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability >= _BF16_FROM:
            return torch.bfloat16
        return torch.float16 if capability >= _TENSOR_CORES_FROM else torch.float32
    return torch.bfloat16 if device.type == "cpu" and _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux: float32 is always correct
        return False
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def autocast(device: "torch.device", dtype: "torch.dtype") -> AbstractContextManager:
    """A context in which convolutions and linear layers run in `dtype`, the answer of `precision`."""
    import torch

    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
