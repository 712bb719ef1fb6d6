"""When the training step of a GPU is worth compiling, and what prevents it."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

WORTH = 300.0
"""Seconds of training per device from which on a step is compiled. That takes 20 to 40 seconds; measured on an H200,
it saves a tenth of a ResNet18's time with eight models in flight, a third with one."""


def obstacle(device: str) -> str | None:
    """What this machine lacks for ``torch.compile`` on a GPU, where kernels are made by Triton and a C compiler."""
    import torch
    from torch.utils._triton import has_triton_package

    if torch.cuda.get_device_capability(device) < (7, 0):
        return "the GPU is too old for Triton"
    if not has_triton_package():
        return "Triton is not installed"
    if not any(shutil.which(name) for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name):
        return "there is no C compiler"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "there is no Python.h (Debian: python3-dev)"
    return None
