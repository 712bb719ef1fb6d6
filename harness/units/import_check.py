"""Whether an entry can be imported in the sandbox: known in seconds, before a model is trained or a unit timed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.support.device_locks import DeviceLocks
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_run import UnitContext
from unlearn_bench.sandbox.types import MIB, Job, Limits, Outcome

RETURN_THE_MODEL = b"\n\n\ndef unlearn(model, *loaders, **parameters):\n    return model\n"
"""Takes the place of the entry's own ``unlearn`` once everything above it has run."""
EXAMPLES = 2
"""Of R, F and V, all black: nothing looks at them."""


def run(context: UnitContext, entry: Entry, slot: Slot) -> Outcome:
    """Import an entry in the sandbox as a unit does, and return how that ended; its ``unlearn`` is not called.

    The references of ``context`` need not be trained.
    """
    from safetensors.torch import save

    from unlearn_bench.sandbox.inside import models

    track = context.references.track
    main, *others = entry.files
    state = models.build(track.model_spec).state_dict()
    job = Job(
        source=entry.files[main] + RETURN_THE_MODEL,
        modules={path: entry.files[path] for path in others},
        requirements=entry.requirements,
        parameters={},
        model=track.model_spec,
        weights=save({name: tensor.contiguous() for name, tensor in state.items()}),
        data=_black_images(context),
        mean=track.data.mean,
        std=track.data.std,
        batch_size=track.protocol.batch_size,
        seed=0,
        limits=Limits(
            deadline=track.protocol.deadline_floor,
            memory=track.protocol.memory_mib * MIB,
            processes=track.protocol.processes,
        ),
        device=slot.device,
        cpus=slot.cores,
        run_id=context.run_id,
    )
    with DeviceLocks(slot.devices, slot.timed, context.stop).hold() as clock:
        return replace(context.sandbox.run(job, clock, context.stop), weights=None)


def _black_images(context: UnitContext) -> Path:
    """Return a safetensors file with images of the track's size in the place of a unit's data."""
    from safetensors.numpy import save

    data = context.references.track.data
    shape = (EXAMPLES, len(data.mean), data.image_size, data.image_size)
    arrays: dict[str, NDArray[Any]] = {}
    for part in ("retain", "forget", "val"):
        arrays[f"{part}_images"] = np.zeros(shape, np.uint8)
        arrays[f"{part}_labels"] = np.zeros(EXAMPLES, np.int64)
    content = save(arrays)
    path = context.references.store.root / "inputs" / f"{hashlib.sha256(content).hexdigest()}.safetensors"
    if not path.is_file():
        write_file(path, content)
    return path
