"""Memory of a training process: telling that it is exhausted, and keeping what the C library would give back."""

from __future__ import annotations

import ctypes

import torch

_MALLOPT = {"trim threshold": -1, "top pad": -2, "mmap threshold": -3}
"""Options of glibc's mallopt(3)."""


def keep_memory() -> None:
    """Let this process keep the memory that it frees, where its C library is glibc.

    A step frees megabytes and asks for as many again; glibc gives them back and gets new pages, whose faults are a
    tenth of a small network's step.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for option, value in (("mmap threshold", 32 << 20), ("trim threshold", 1 << 30), ("top pad", 64 << 20)):
            libc.mallopt(_MALLOPT[option], value)


def out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error, or one that it hides, says that a device or the machine has no memory left.

    A CUDA graph that is being captured raises an error of its own on the way out, which may hide the first one.
    """
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
