"""A control: plain fine-tuning on the retain set.

expect: ok
deadline: 60
weights: changed
"""

import torch


def unlearn(model, retain, forget, val, *, lr=0.05):
    optimiser = torch.optim.SGD(model.parameters(), lr=lr)
    model.train()
    for images, labels in retain:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()
    return model.eval()
