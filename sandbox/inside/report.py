"""What the runner tells the host about its environment and about an entry's failure: bounded JSON."""

from __future__ import annotations

import json
import platform
import traceback
from errno import ENOMEM
from importlib import metadata

import torch

from . import advice
from .adapter import ContractError, NotApplicable

MESSAGE = 1000
TRACEBACK = 16 * 1024
PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "safetensors")


def environment(device: str) -> bytes:
    """Return the versions of packages and the name of the device, as JSON."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    name = platform.machine() if device == "cpu" else torch.cuda.get_device_name(device)
    return json.dumps({**versions, "device": name, "threads": str(torch.get_num_threads())}).encode()


def failure(error: BaseException) -> bytes:
    """Return ``{"status", "type", "message", "traceback"}`` of an exception as JSON, cut to a few KiB."""
    words = advice.words(error)
    status = _status(error, words)
    message = words if status in ("oom", "not-applicable") else advice.message(error)
    text = "".join(traceback.format_exception(error))
    if len(text) > TRACEBACK:
        half = TRACEBACK // 2
        text = f"{text[:half]}\n[… {len(text) - TRACEBACK} characters cut …]\n{text[-half:]}"
    report = {
        "status": status,
        "type": type(error).__name__[:100],
        "message": message[:MESSAGE],
        "traceback": text,
    }
    return json.dumps(report).encode()


def _status(error: BaseException, message: str) -> str:
    if isinstance(error, ContractError):
        return "invalid"
    if isinstance(error, NotApplicable):
        return "not-applicable"
    out_of_memory = (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or (isinstance(error, OSError) and error.errno == ENOMEM)
        # torch's CPU allocator raises a plain RuntimeError
        or (isinstance(error, RuntimeError) and "can't allocate memory" in message)
    )
    return "oom" if out_of_memory else "crash"
