"""An entry that asks for more memory than any GPU has. Run by ``bench doctor --gpu``."""

import torch


def unlearn(model, retain):
    kept = []
    while True:
        kept.append(torch.empty(2**30, dtype=torch.uint8, device=next(model.parameters()).device))
