"""A control: a changed copy of the model in half precision.

expect: ok
deadline: 60
weights: changed
"""

import copy

import torch


def unlearn(model, retain, forget, val):
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.fc.weight.mul_(0.5)
    return other.half()
