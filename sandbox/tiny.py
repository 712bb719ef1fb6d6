"""A job of the smallest model and a few random images, for the attack suite, the limit checks and tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unlearn_bench.sandbox.types import Job, Limits

MODEL: dict[str, Any] = {"name": "resnet18_narrow", "classes": 3, "width": 2, "channels": 1, "image_size": 8}
COUNTS = {"retain": 20, "forget": 6, "val": 9}


@contextmanager
def tiny_job(source: bytes, limits: Limits, **fields: Any) -> Iterator[Job]:
    """Yield the same job each time; ``fields`` are further fields of ``Job``. The block's end removes its data file."""
    import torch
    from safetensors.torch import save, save_file

    from unlearn_bench.sandbox.inside import models

    generator = torch.Generator().manual_seed(0)
    data: dict[str, torch.Tensor] = {}
    for part, count in COUNTS.items():
        data[f"{part}_images"] = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)
        data[f"{part}_labels"] = torch.randint(0, int(MODEL["classes"]), (count,), generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = save({name: tensor.contiguous() for name, tensor in models.build(MODEL).state_dict().items()})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.safetensors"
        save_file(data, path)
        defaults: dict[str, Any] = {"parameters": {}, "model": MODEL, "weights": weights, "data": path, "mean": (0.5,)}
        defaults |= {"std": (0.25,), "batch_size": 4, "seed": 3, "limits": limits, "run_id": "tiny"}
        yield Job(source=source, **{**defaults, **fields})
