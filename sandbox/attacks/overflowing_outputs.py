"""Delivers finite weights whose outputs overflow; argmax would call them class 0. Only who infers can see it.

expect: ok
weights: changed
"""

import torch


def unlearn(model, retain):
    with torch.no_grad():
        model.fc.weight.fill_(3e38)
        model.fc.bias.fill_(3e38)
