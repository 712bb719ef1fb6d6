"""An entry whose kernel does not end within any deadline. Run by ``bench doctor --gpu``."""

import torch


def unlearn(model, retain):
    torch.cuda._sleep(2**60)
    torch.cuda.synchronize()
