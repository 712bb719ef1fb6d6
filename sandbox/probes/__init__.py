"""Does a back end keep its limits on this machine? A flag accepted is not a flag enforced: every limit is tried.

``entries/`` holds what runs inside; ``limits.py`` asks, and compares.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.types import Job, Limits

MODEL: dict[str, Any] = {"name": "resnet18_narrow", "classes": 2, "width": 2, "channels": 1, "image_size": 8}
ENTRIES = Path(__file__).parent / "entries"


@contextmanager
def tiny_job(source: bytes, limits: Limits, **fields: Any) -> Iterator[Job]:
    """A job with the smallest model and random images; ``fields`` are further ones of ``Job``."""
    import torch
    from safetensors.torch import save, save_file

    from sandbox.inside import models

    data = {}
    for part in ("retain", "forget", "val"):
        data[f"{part}_images"] = torch.randint(0, 256, (16, 1, 8, 8), dtype=torch.uint8)
        data[f"{part}_labels"] = torch.arange(16) % 2
    weights = save({name: tensor.contiguous() for name, tensor in models.build(MODEL).state_dict().items()})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.safetensors"
        save_file(data, path)
        known: dict[str, Any] = {"parameters": {}, "model": MODEL, "weights": weights, "data": path, "mean": (0.5,)}
        known |= {"std": (0.25,), "batch_size": 8, "seed": 0, "limits": limits, "run_id": "probe"}
        yield Job(source=source, **{**known, **fields})
