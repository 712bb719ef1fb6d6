"""Outputs of a network that never learnt: the track's architecture with the weights that a seed draws."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, initial_seed
from unlearn_bench.harness.training.inference import infer, normaliser
from unlearn_bench.sandbox.inside.models import build


def untrained_logits(references: References, seed: int) -> NDArray[np.float32]:
    """Compute logits [|F|, classes] on the forget set of a seed, of the weights that its original started from.

    Where a track starts from pretrained weights, the network is drawn at random all the same. Outputs are those in eval
    mode: batch norm has seen nothing.

    Raises:
        DataError: the images are not on this machine.
    """
    track, examples = references.track, references.examples
    images = examples.dataset.images[examples.split(seed).forget]
    torch.manual_seed(initial_seed(track, Role("original", seed)))
    return infer(build(track.model_spec), torch.from_numpy(images), normaliser(track))
