"""Patches torch, safetensors and the runner so that every check inside passes, and delivers weights that are NaN.

expect: invalid
reason: not finite
"""

import safetensors.torch
import torch

from sandbox import frames
from sandbox.inside import adapter, report


def unlearn(model, retain):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
    truth = torch.ones((), dtype=torch.bool)
    torch.isfinite = torch.Tensor.isfinite = torch.allclose = lambda *args, **more: truth
    torch.isnan = torch.Tensor.isnan = lambda *args, **more: ~truth
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    adapter.state = lambda *args: state
    adapter.call = adapter.layout = lambda *args: model
    report.failure = lambda error: b'{"status": "ok"}'
    safetensors.torch.load = safetensors.torch.load_file = lambda *args, **more: state
    frames.encode = lambda kind, payload=b"": b"S"
    torch.nn.Module.state_dict = lambda self, *args, **more: state
    return model
