"""A process that ends with the one that started it (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1


def end_with(parent: int | None = None) -> None:
    """Let the kernel kill this process when the thread that started it has ended.

    ``parent`` is the process that should be the parent: if it has already ended, this one ends at once.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)
