"""Keep freed memory in the process: where every step frees and takes the same tensors, the system's pages cost time."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # mallopt's names of them, from malloc.h
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask glibc to serve large tensors from memory that it keeps instead of mapping each one anew.

    On two EPYC cores a step of the networks here gets 2 to 12 % faster. For CPU trainings; the memory goes back when
    the process ends.

    Returns:
        whether the C library took both settings; False elsewhere than on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, NEVER))
