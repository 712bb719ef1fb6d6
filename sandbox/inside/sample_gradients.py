"""Gradients of single samples."""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel


def differentiable_eval(model: nn.Module) -> nn.Module:
    """Put ``model`` into a mode that computes what eval mode does and lets gradients reach every parameter.

    All of it is in eval mode, so a sample's output does not depend on the others or on chance. The exception is the
    attention of TinyViT and its like, which in eval mode works with a copy of its biases.
    """
    model.eval()
    for module in model.modules():
        module.training = hasattr(module, "attention_biases")
    return model


def sample_gradients(model: nn.Module, images: Tensor, labels: Tensor, at_once: int = 64) -> Tensor:
    """Return the gradient of every sample's cross-entropy, [n, P], with columns in the order of ``model.parameters()``.

    The model is left in the mode of :func:`differentiable_eval`. The result takes 4·n·P bytes, and the work as
    much for ``at_once`` samples: pass a large set in parts. ``torch.nn.utils.parameters_to_vector`` has the same order.
    """
    differentiable_eval(model)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(values: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, values, (image[None],)), label[None])

    gradient = vmap(grad(loss), in_dims=(None, 0, 0))
    rows = images.new_empty(len(images), sum(p.numel() for p in parameters.values()))
    parts = (tensor.split(at_once) for tensor in (images, labels, rows))
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):  # vmap cannot batch the fused attention's gradient
        warnings.filterwarnings("ignore", message="There is a performance drop")  # of pooling on channels-last images
        for x, y, out in zip(*parts, strict=True):
            torch.cat([g.flatten(1) for g in gradient(parameters, x, y).values()], 1, out=out)
    return rows
