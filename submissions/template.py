# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "My method"
# authors = "Your Name"
# paper = ""
# licence = "Apache-2.0"
# ///
"""One line that says what it does; the board shows it."""

import torch

# What a search may try: log, uniform and int take a range, choice takes a tuple. Optional.
SEARCH_SPACE = {"lr": ("log", 1e-3, 1e-1), "epochs": ("int", 1, 10)}


def unlearn(model, retain, forget, val, *, lr=0.01, epochs=5):
    """The model comes in eval mode; each loader yields (image, label) batches on the model's device."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
    model.train()
    for _ in range(epochs):
        for images, labels in retain:  # this example only fine-tunes: do something with `forget`
            if len(labels) == 1:  # batch norm cannot learn from a single sample
                continue
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    return model  # or nothing, if `model` itself was changed
