"""A GPU as the host sees it: the name by which engines know it, and whether it still answers."""

from __future__ import annotations

import os
import shutil
import subprocess

from unlearn_bench.sandbox.text import one_line

PATIENCE = 20.0
"""Seconds that the driver may take to answer."""


def identifier(device: str) -> str:
    """Return what engines call a device of torch (``cuda:1``): an index, or the UUID of a GPU or of a MIG device.

    torch counts the devices that ``CUDA_VISIBLE_DEVICES`` lists, an engine all of the machine.
    """
    index = int(device.partition(":")[2] or 0)
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return visible[index] if index < len(visible) else str(index)


def lost(device: str) -> str:
    """Return why a GPU is not to be had any more, with the remedy; empty if it answers or nobody can tell.

    The driver of this machine is asked, never a unit: what an entry says of its GPU decides nothing.
    """
    name = identifier(device)
    program = shutil.which("nvidia-smi")
    if program is None or name.startswith("MIG-"):  # a MIG device cannot be queried by itself
        return ""
    query = [program, f"--id={name}", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return f"the driver of GPU {name} does not answer; see `dmesg`, or restart the machine"
    said = one_line(answer.stdout + answer.stderr, 160)
    if answer.returncode == 0 and "lost" not in said:
        return ""
    return f"GPU {name} was lost ({said}); see `dmesg` and `nvidia-smi -q`, reset it or restart the machine"
