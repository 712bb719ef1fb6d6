"""Sends well-formed safetensors that are not the architecture's weights.

expect: invalid
variants: missing, added, renamed, transposed, half, double, integers, nan, infinite, negative_variance
"""

import sys

import torch
from safetensors.torch import save


def unlearn(model, retain, *, variant="missing"):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weight = state["fc.weight"]
    changes = {
        "missing": lambda: state.pop("fc.weight"),
        "added": lambda: state.update({"fc.score": torch.ones(1)}),
        "renamed": lambda: state.update({"fc.weights": state.pop("fc.weight")}),
        "transposed": lambda: state.update({"fc.weight": weight.t().contiguous()}),
        "half": lambda: state.update({"fc.weight": weight.half()}),
        "double": lambda: state.update({"fc.weight": weight.double()}),
        "integers": lambda: state.update({"fc.weight": weight.int()}),
        "nan": lambda: weight[0].fill_(float("nan")),
        "infinite": lambda: weight[-1].fill_(float("-inf")),
        "negative_variance": lambda: state["bn1.running_var"].fill_(-1e-30),
    }
    changes[variant]()
    channel().send(b"W", save(state))


def channel():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"]
