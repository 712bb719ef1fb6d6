"""Convolutions on maps of a few pixels as matrix products: the same sums without the padding that they would multiply.

At 32 pixels the last stage of torchvision's ResNet18 works on 1×1 maps, where eight of the nine taps of a 3×3 kernel
only ever meet padding, and the stage before it on 2×2 maps, where five of nine do. So do narrow
networks on small images.
"""

from __future__ import annotations

import copy
from functools import cache
from itertools import product
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)

SMALL = 4
"""Pixels of an input map up to which the matrix product over whole maps is the faster one, at any width."""


class SmallMapConv2d(nn.Conv2d):
    """A convolution that takes the matrix product where that is faster; parameters and results are those of Conv2d."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        if not _plain(self):
            return super().forward(x)
        if self.kernel_size == (1, 1):
            return _pointwise(x, self)
        if x.shape[2] * x.shape[3] <= SMALL:
            return _dense(x, self)
        return super().forward(x)


def with_small_map_convolutions(network: M) -> M:
    """Return the network with such convolutions in place of its own; parameters and buffers are shared, not copied."""
    converted = copy.copy(network)  # shares the dictionaries of parameters and buffers
    if type(network) is nn.Conv2d:
        converted.__class__ = SmallMapConv2d  # type: ignore[assignment]
    converted._modules = {
        name: None if child is None else with_small_map_convolutions(child) for name, child in network._modules.items()
    }
    return converted


def _plain(layer: nn.Conv2d) -> bool:
    """Return whether it is square, undilated, zero-padded, and not depthwise, where there is nothing to multiply."""
    kernel, stride, padding = layer.kernel_size, layer.stride, layer.padding
    return (
        kernel[0] == kernel[1]
        and stride[0] == stride[1]
        and not isinstance(padding, str)
        and padding[0] == padding[1]
        and (kernel[0] > 1 or padding[0] == 0)
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and layer.in_channels > layer.groups
    )


def _pointwise(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Convolve with 1×1 kernels: every position that the stride visits is an example of its own."""
    stride, groups = layer.stride[0], layer.groups
    x = x[:, :, ::stride, ::stride]
    batch, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(batch * height * width, groups, channels // groups).transpose(0, 1)
    weight = layer.weight.reshape(groups, -1, channels // groups).transpose(1, 2)
    return _as_maps((rows @ weight).transpose(0, 1).reshape(batch, height, width, -1), layer)


def _dense(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Multiply all pixels and channels of a group by one matrix that yields all those of its output."""
    batch, channels, height, width = x.shape
    groups, inputs = layer.groups, channels // layer.groups
    outputs, kernel = layer.out_channels // groups, layer.kernel_size[0]
    stride, padding, weight = layer.stride[0], int(layer.padding[0]), layer.weight
    reach = _reach((height, width), kernel, stride, padding, weight.device, weight.dtype)
    rows = x.permute(0, 2, 3, 1).reshape(batch, height * width, groups, inputs)
    rows = rows.permute(2, 0, 1, 3).reshape(groups, batch, -1)
    # one-hot columns: each entry of the matrix is one tap, or zero
    taps = weight.reshape(-1, kernel * kernel) @ reach.flatten(1)
    taps = taps.view(groups, outputs, inputs, -1, height * width)
    matrix = taps.permute(0, 4, 2, 3, 1).reshape(groups, height * width * inputs, -1)
    out = (rows @ matrix).view(groups, batch, *reach.shape[1:3], outputs)
    return _as_maps(out.permute(1, 2, 3, 0, 4).flatten(3), layer)


def _as_maps(out: Tensor, layer: nn.Conv2d) -> Tensor:
    """Add the bias to [batch, height, width, channels], and return it as [batch, channels, height, width]."""
    out = out if layer.bias is None else out + layer.bias
    if out.shape[1] * out.shape[2] == 1:
        # the same with other strides: between two kinds of them batch norm's gradient takes ten times as long
        return out.flatten(1)[:, :, None, None]
    return out.permute(0, 3, 1, 2)


@cache
@torch.inference_mode(False)
def _reach(
    size: tuple[int, int], kernel: int, stride: int, padding: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Compute which tap leads from an input pixel to an output pixel, 0 or 1: [kernel², out height, out width, inputs].

    Kept on the device for good: while a CUDA graph is recorded, nothing can be sent there, and graphs keep reading it.
    """
    height, width = size
    out_height, out_width = ((length + 2 * padding - kernel) // stride + 1 for length in size)
    reach = torch.zeros(kernel, kernel, out_height, out_width, height, width)
    for row, column, down, right in product(range(out_height), range(out_width), range(kernel), range(kernel)):
        y, x = row * stride + down - padding, column * stride + right - padding
        if 0 <= y < height and 0 <= x < width:
            reach[down, right, row, column, y, x] = 1
    return reach.view(kernel * kernel, out_height, out_width, -1).to(device, dtype)
