"""An entry whose kernel reads beyond a tensor, which ends its CUDA context. Run by ``bench doctor --gpu``."""

import torch


def unlearn(model, retain):
    device = next(model.parameters()).device
    print(torch.zeros(4, device=device)[torch.tensor([9], device=device)].sum().item())
