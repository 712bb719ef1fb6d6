"""A control: a model left in train mode, with frozen parameters and gradients.

expect: ok
deadline: 60
weights: changed
"""


def unlearn(model, retain):
    model.train()
    model(next(iter(retain)).image).sum().backward()
    for parameter in model.parameters():
        parameter.requires_grad = False
