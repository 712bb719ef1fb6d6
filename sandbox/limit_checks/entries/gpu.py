"""An entry that trains on the GPU that it was given. Run by ``sandbox.limit_checks``."""

import torch


def unlearn(model, retain):
    assert next(model.parameters()).is_cuda, "the model is not on a GPU"
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    model.train()
    for _ in range(20):
        for images, labels in retain:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimiser.step()
    print(torch.cuda.device_count(), "GPU in the sandbox:", torch.cuda.get_device_name(0), flush=True)
