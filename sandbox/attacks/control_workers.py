"""A control: a data loader of its own with two worker processes.

expect: ok
deadline: 90
weights: changed
"""

import torch
from torch.utils.data import ConcatDataset, DataLoader


def unlearn(model, retain, forget, val):
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    model.train()
    for batch in DataLoader(ConcatDataset([retain.dataset, forget.dataset]), batch_size=8, shuffle=True, num_workers=2):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(batch["image"]), batch["label"]).backward()
        optimiser.step()
