"""Which device and which floating-point precision to compute with, by what the machine can do.

Torch is imported when a function needs it: the words alone are also for the command line, which answers without it.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import KitError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "bf16", "fp16", "fp32")
COMPILE = ("auto", "on", "off")  # whether torch.compile makes the network faster; auto does so for long runs
_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def default_device() -> "torch.device":
    """The first GPU where there is one (of this process under torchrun), otherwise the CPU."""
    import torch

    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def precision(device: "torch.device", amp: str = "auto") -> "torch.dtype":
    """The type that matrix products run in.

    `auto` is bfloat16 on GPUs from compute capability 8.0 and on CPUs with bfloat16 instructions, float16 on
    older GPUs with tensor cores (7.0 and later, such as the T4), float32 elsewhere. The capability is asked, not
    `torch.cuda.is_bf16_supported()`, which also answers yes where bfloat16 is emulated.

    Raises:
        KitError: `amp` is not one of PRECISIONS, or it is fp16 on a CPU, which is slower than float32 there.
    """
    import torch

    if amp not in PRECISIONS:
        raise KitError(f"amp has to be one of {', '.join(PRECISIONS)}, not {amp!r}")
    if amp == "fp16" and device.type == "cpu":
        raise KitError("amp fp16 needs a GPU: use bf16 or fp32 on a CPU")
    return _automatic(device) if amp == "auto" else getattr(torch, _DTYPES[amp])


def _automatic(device: "torch.device") -> "torch.dtype":
    import torch

    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if capability >= (8, 0) else torch.float16 if capability >= (7, 0) else torch.float32
    return torch.bfloat16 if device.type == "cpu" and _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux: nothing to ask, and float32 is always right
        return False
    return not words.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def autocast(device: "torch.device", amp: str = "auto") -> AbstractContextManager:
    """A context in which convolutions and linear layers run in `precision(device, amp)`."""
    import torch

    dtype = precision(device, amp)
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
