"""Patches the runner so that it adds tensors and metadata, with a rank and terminal escapes in their names.

expect: invalid
reason: not the architecture's weights
"""

import safetensors.torch
import torch

from sandbox.inside import adapter


def unlearn(model, retain):
    real = adapter.state

    def state(result, expected):
        return real(result, expected) | {"score": torch.ones(3), "__metadata__\x1b[31m": torch.ones(1)}

    adapter.state = state
    save = safetensors.torch.save
    safetensors.torch.save = lambda tensors, **more: save(tensors, metadata={"rank": "1"})
    return model
