"""Untimed units of trusted code without a sandbox: the same adapter, loaders and logits, in worker processes."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.entries import Entry
from harness.references import References, Role
from harness.store import Store
from harness.track import Track
from harness.units import Unit
from sandbox.types import Status


@dataclass(frozen=True)
class Result:
    """What one untimed unit gave; ``logits`` [n, classes] on every example when ``status`` is ``ok``."""

    status: Status
    reason: str
    logits: NDArray[np.float32] | None
    cpu_seconds: float


_references: References | None = None


def start_worker(track: Track, parent: int) -> None:
    """Initialise a worker process: one thread, the track's references, an end with its parent."""
    import torch

    from sandbox.inside.lifeline import end_with

    global _references
    end_with(parent)
    torch.set_num_threads(1)
    _references = References(track, Store())


def run(entry: Entry, parameters: Mapping[str, Any], seed: int, deadline: float) -> Result:
    """Run ``entry`` with ``parameters`` on one model seed, in a worker.

    An exception of the entry is a ``crash``, non-finite outputs are ``invalid``; a unit that takes more than
    ``deadline`` seconds is a ``timeout``.
    """
    assert _references is not None
    start = time.process_time()
    signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, deadline)
    status, reason, logits = "ok", "", None
    try:
        logits = _unlearn(_references, Unit(entry, _references.track, seed), parameters)
        if not np.isfinite(logits).all():
            status, reason, logits = "invalid", "the model's outputs are not finite", None
    except _Late:
        status, reason = "timeout", f"no weights within {deadline:g} s"
    except Exception as error:  # whatever an entry raises is its own failure, and the study goes on
        status, reason = "crash", f"{type(error).__name__}: {error}".splitlines()[0][:200]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return Result(status, reason, logits, time.process_time() - start)  # type: ignore[arg-type]


class _Late(BaseException):
    """Raised by the alarm; not an ``Exception``, so that an entry's own handlers let it through."""


def _late(number: int, frame: FrameType | None) -> None:
    raise _Late


def _unlearn(references: References, unit: Unit, parameters: Mapping[str, Any]) -> NDArray[np.float32]:
    import torch
    from safetensors.torch import load

    from harness.training import infer, normaliser
    from sandbox.inside import adapter, loaders, models

    track, dataset = unit.track, references.dataset
    state = load(references.weights(Role("original", unit.seed)))
    model = models.load(track.model_spec, state)
    layout = adapter.layout(model)
    data: dict[str, Any] = {}
    for part, indices in references.split(unit.seed).parts().items():
        data[f"{part}_images"] = torch.from_numpy(dataset.images[indices])
        data[f"{part}_labels"] = torch.from_numpy(dataset.labels[indices])
    given = loaders.make_loaders(
        data,
        track.data.mean,
        track.data.std,
        track.model_spec.get("channels", 3),
        track.protocol.batch_size,
        unit.random_seed,
        "cpu",
    )
    random.seed(unit.random_seed)
    np.random.seed(unit.random_seed)
    torch.manual_seed(unit.random_seed)
    result = adapter.call(_module(unit.entry), model, given, dict(parameters))
    unlearned = models.load(track.model_spec, adapter.state(result, layout))
    return infer(unlearned, torch.from_numpy(dataset.images), normaliser(track))


def _module(entry: Entry) -> ModuleType:
    spec = importlib.util.spec_from_loader("entry", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["entry"] = module
    exec(compile(entry.source, f"{entry.name}.py", "exec"), module.__dict__)
    return module


def workers() -> int:
    """How many untimed units run side by side: one per core."""
    return len(os.sched_getaffinity(0))
