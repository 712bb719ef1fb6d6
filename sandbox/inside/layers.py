"""The layers of a network, whatever it is: its classifier, its last ones, and all of them drawn anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from .adapter import NotApplicable


class Classifier(Protocol):
    """A layer of a model that gives the logits."""

    weight: Tensor
    """[classes, features], of a convolution [classes, features, 1, 1]."""

    @property
    def out_features(self) -> int:
        """Number of classes, also of those without labels."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return the weight and the bias, if there is one."""

    def reset_parameters(self) -> None:
        """Draw the parameters anew, as torch does by default."""


def head(model: nn.Module) -> Classifier:
    """Return the classifier: the last linear layer or, in a network without any, the last convolution if it is 1×1.

    Such a convolution, as SqueezeNet and timm's ResNetV2 have, is the linear layer at every position.

    Raises:
        NotApplicable: the network has neither.
    """
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if linear:
        return linear[-1]
    *_, last = [None, *(module for module in model.modules() if isinstance(module, nn.Conv2d))]
    if last is None or last.kernel_size != (1, 1):
        raise NotApplicable("the network has no linear layer or 1×1 convolution as its classifier")
    last.out_features = last.out_channels  # type: ignore[assignment]
    return cast(Classifier, last)


@torch.no_grad()
def reinitialise(model: nn.Module) -> nn.Module:
    """Re-draw all parameters from the distribution a freshly built model has, and reset batch-norm statistics.

    A network of torchvision, of timm or of a track's own file is built again, as the benchmark built it. The
    benchmark's own architectures, and models from elsewhere, follow a rule by module type: residual networks (no layer
    norm) have Kaiming-normal convolutions (fan-out, He et al. 2015); transformers (layer norm) have truncated-normal
    linear layers (σ = 0.02, bias 0), zero attention biases and, in TinyViT's MBConv blocks, a zero last scale.
    Everything else follows torch's own ``reset_parameters``.
    It works in place and returns the model.

    Raises:
        NotApplicable: the rule does not know how a module with parameters is initialised.
    """
    build_again = getattr(model, "build_again", None)
    if build_again is not None:
        model.load_state_dict(build_again().state_dict())
        return model
    modules: list[Any] = list(model.modules())
    transformer = any(isinstance(module, nn.LayerNorm) for module in modules)
    for module in modules:
        if hasattr(module, "attention_biases"):
            nn.init.zeros_(module.attention_biases)
            module.train(module.training)  # drops the copy that TinyViT caches in eval mode
        elif hasattr(module, "reset_parameters"):
            module.reset_parameters()
        elif any(True for _ in module.parameters(recurse=False)):
            raise NotApplicable(f"it is not known how a new {type(module).__name__} is initialised")
        if isinstance(module, nn.Conv2d) and not transformer:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear) and transformer:
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in modules:
        if type(module).__name__ == "MBConv":  # after its batch norm has been reset
            nn.init.zeros_(module.conv3.bn.weight)
    return model


def last_layers(model: nn.Module, share: float) -> nn.ModuleList:
    """Return the modules that make up the last ``share`` of a model's layers; at least one layer, and never the first.

    Layers are convolutions and linear maps, in the order in which the model registered them, so the classifier is the
    last one (as Goel et al. 2022 count, CF-k and EU-k). What is registered after the first of the returned layers
    belongs to them: their normalisation, and a transformer's attention biases.
    """
    modules = list(model.modules())
    layers = [i for i, module in enumerate(modules) if isinstance(module, (nn.Conv2d, nn.Linear))]
    k = max(1, min(int(share * len(layers)), len(layers) - 1))
    return nn.ModuleList(modules[layers[-k] :])
