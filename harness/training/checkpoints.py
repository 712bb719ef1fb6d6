"""Checkpoints of long trainings on a CPU, every few minutes; a killed training resumes to the same model.

They stay on this machine: a store at a URL gets finished models only.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unlearn_bench.harness.support.files import read_checked, write_checked
from unlearn_bench.harness.support.hardware import torch_version
from unlearn_bench.harness.training.mixed_precision import uses_bfloat16

if TYPE_CHECKING:
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.references.roles import Role

EVERY = 300.0
"""Wall seconds between two checkpoints; a shorter training is never saved."""
BYTES = 8
"""Bytes per parameter: its value and its momentum."""


@dataclass(frozen=True)
class State:
    """A training between two epochs."""

    epochs: int
    """Number of finished epochs."""
    seconds: float
    """CPU seconds spent on them."""
    tensors: Mapping[str, Tensor]
    """See ``harness.training.step.TrainingLoop.state``."""


class Checkpoint:
    """The checkpoint of a task's training. Another recipe, torch or precision has another file."""

    def __init__(self, references: References, task: Sequence[Role]) -> None:
        track = references.track
        precision = "bfloat16" if uses_bfloat16(track.recipe, torch.device("cpu")) else "float32"
        identity = [track.reference_digest, torch_version(), precision, *(role.name for role in task)]
        name = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:32]
        self.path = references.store.checkpoint(name)
        self._earlier_seconds = 0.0
        self._started, self._last_saved = time.process_time(), time.monotonic()

    @property
    def seconds(self) -> float:
        """CPU seconds of this training, those before an interruption included."""
        return self._earlier_seconds + time.process_time() - self._started

    def read(self) -> State | None:
        """Return the latest checkpoint, if any; :attr:`seconds` then continues from its value.

        Raises:
            StoreError: the file has changed since it was written.
        """
        from safetensors.torch import load

        if not self.path.is_file():
            return None
        remedy = f"remove {self.path} and run the same command again: that training begins anew"
        content = read_checked(self.path, remedy)
        length = int.from_bytes(content[:8], "little")  # of the header, as safetensors has it
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        self._earlier_seconds = float(metadata["seconds"])
        return State(int(metadata["epochs"]), self._earlier_seconds, load(content))

    def offer(self, epochs: int, tensors: Callable[[], Mapping[str, Tensor]]) -> None:
        """Save the training after ``epochs`` epochs, if the last checkpoint is older than :data:`EVERY`.

        Raises:
            StoreError: the disk is full.
        """
        from safetensors.torch import save

        if time.monotonic() - self._last_saved < EVERY:
            return
        content = save(dict(tensors()), {"epochs": str(epochs), "seconds": repr(self.seconds)})
        write_checked(self.path, content)
        self._last_saved = time.monotonic()

    def remove(self) -> None:
        """Remove the file: the training has ended."""
        self.path.unlink(missing_ok=True)
