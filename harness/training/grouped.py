"""Several small networks of one architecture as one grouped network: the same arithmetic, one large kernel each.

Batch norm works per channel and grouped convolutions per group, so every member computes exactly what it would by
itself (a test shows it in float64). Worth it where one model cannot fill a core; at full width it gains nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from unlearn_bench.harness.training.small_maps import SmallMapConv2d

M = TypeVar("M", bound=nn.Module)


class GroupedLinear(nn.Module):
    """Linear layers of several models side by side: [batch, groups·inputs] → [batch, groups·outputs]."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]))
        bias = [layer.bias.detach() for layer in layers if layer.bias is not None]
        self.bias = nn.Parameter(torch.stack(bias)[:, None]) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply each model's layer to its part of the inputs."""
        x = x.view(len(x), len(self.weight), -1).transpose(0, 1)
        x = x @ self.weight if self.bias is None else torch.baddbmm(self.bias, x, self.weight)
        return x.transpose(0, 1).flatten(1)


def can_group(model: nn.Module) -> bool:
    """Return whether every parameter and buffer of the model is in a layer that :class:`Grouped` can merge."""
    mergeable: set[nn.Module] = {module for module in model.modules() if type(module) in _MAKERS}
    return all(
        module in mergeable or not [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        for module in model.modules()
    ) and not any(isinstance(module, nn.Dropout) for module in model.modules())


@torch.no_grad()
def groups_exactly(members: Sequence[nn.Module], channels: int, size: int) -> bool:
    """Return whether the members answer as one grouped network as they do by themselves, in train mode.

    Layers that can be merged do not suffice: a network whose own code concatenates or shuffles channels mixes members.
    """
    images = torch.rand(len(members), 3, channels, size, size, dtype=torch.float64)
    apart = [copy.deepcopy(member).double().train() for member in members]
    together = Grouped(copy.deepcopy(apart)).train()
    try:
        answers = together(images)
    except RuntimeError:  # its code depends on the number of channels
        return False
    return torch.allclose(answers, torch.stack([member(x) for member, x in zip(apart, images, strict=True)]))


class Grouped(nn.Module):
    """The members as one network: images [groups, batch, c, h, w] → logits [groups, batch, classes]."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.size = len(members)
        self.network = _merge(members)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of all members."""
        groups, batch, channels, height, width = images.shape
        stacked = images.transpose(0, 1).reshape(batch, groups * channels, height, width)
        return (
            self.network(stacked.contiguous(memory_format=torch.channels_last)).view(batch, groups, -1).transpose(0, 1)
        )

    @torch.no_grad()
    def write_back(self, members: Sequence[nn.Module]) -> None:
        """Copy parameters and buffers back into the members."""
        for name, merged in self.network.named_modules():
            parts = [member.get_submodule(name) for member in members]
            for key, tensor in [*merged.named_parameters(recurse=False), *merged.named_buffers(recurse=False)]:
                for index, part in enumerate(parts):
                    target = getattr(part, key)
                    if tensor.ndim == 0:  # num_batches_tracked counts alike for all
                        target.copy_(tensor)
                    elif isinstance(merged, GroupedLinear):
                        target.copy_(tensor[index].T if key == "weight" else tensor[index, 0])
                    else:
                        target.copy_(tensor.reshape(self.size, -1, *tensor.shape[1:])[index])


def _merge(members: Sequence[nn.Module]) -> nn.Module:
    maker = _MAKERS.get(type(members[0]))
    if maker is not None:
        return maker(members)
    merged = copy.copy(members[0])
    merged._modules = {
        name: None if child is None else _merge([member.get_submodule(name) for member in members])
        for name, child in members[0]._modules.items()
    }
    return merged


def _conv(layers: Sequence[nn.Conv2d]) -> nn.Conv2d:
    first, count = layers[0], len(layers)
    merged = SmallMapConv2d(
        first.in_channels * count,
        first.out_channels * count,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        first.dilation,  # type: ignore[arg-type]
        groups=first.groups * count,
        bias=first.bias is not None,
        padding_mode=first.padding_mode,
    ).to(first.weight)
    return _concatenated(merged, layers)


def _batch_norm(layers: Sequence[nn.BatchNorm2d]) -> nn.BatchNorm2d:
    first = layers[0]
    merged = nn.BatchNorm2d(
        first.num_features * len(layers), first.eps, first.momentum, first.affine, first.track_running_stats
    ).to(first.weight)
    return _concatenated(merged, layers)


@torch.no_grad()
def _concatenated(merged: M, layers: Sequence[nn.Module]) -> M:
    states = [layer.state_dict() for layer in layers]
    merged.load_state_dict(
        {name: torch.cat([s[name] for s in states]) if value.ndim else value for name, value in states[0].items()}
    )
    return merged


_MAKERS: dict[type, Callable[..., nn.Module]] = {
    nn.Conv2d: _conv,
    nn.BatchNorm2d: _batch_norm,
    nn.Linear: GroupedLinear,
}
