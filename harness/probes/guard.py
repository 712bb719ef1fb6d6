"""Whether a probe left the context as it was, by checksums of everything in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_bench.harness.probes.context import ProbeContext

ROW = 4096
"""Words whose sums a checksum weights by their position."""


@dataclass(frozen=True)
class Fingerprint:
    """What models and data of a context were like, by name."""

    parts: dict[str, Any]

    @classmethod
    def of(cls, context: ProbeContext) -> Fingerprint:
        """Take the fingerprint of a context. Models under two names are looked at once."""
        models = {name: getattr(context, name) for name in ("model", "original", "retrained", "null")}
        seen: dict[int, Any] = {}
        parts: dict[str, Any] = {}
        for name, model in models.items():
            if model is not None:
                parts[f"the {name} model" if name != "model" else "the model under test"] = seen.setdefault(
                    id(model), _model(model)
                )
        parts["the images"] = checksum(context.images)
        parts["the labels"] = checksum(context.labels), checksum(context.subclasses)
        parts["the parts"] = {name: checksum(part) for name, part in context.parts.items()}
        return cls(parts)

    def difference(self, other: Fingerprint) -> str:
        """Return what is not as in another fingerprint of the context, for people; empty where nothing is."""
        return ", ".join(name for name, value in self.parts.items() if value != other.parts[name])


def _model(model: nn.Module) -> dict[str, Any]:
    """Return checksums of a model's tensors, and what else a probe may have left in it."""
    modes = [
        (module.training, len(module._forward_hooks) + len(module._forward_pre_hooks)) for module in model.modules()
    ]
    states = model.state_dict().values()
    kinds = {tensor.dtype: None for tensor in states}
    tensors = [checksum(torch.cat([tensor.flatten() for tensor in states if tensor.dtype == kind])) for kind in kinds]
    gradients = [(p.requires_grad, p.grad is None) for p in model.parameters()]
    return {"modes": modes, "tensors": tensors, "gradients": gradients}


@torch.no_grad()
def checksum(tensor: Tensor) -> tuple[Any, ...]:
    """Return shape, type, and two sums of a tensor's words, one by rows and one by columns, weighted by position.

    It reads the tensor twice, and waits for the device.
    """
    words = _words(tensor)
    rows = words[: len(words) // ROW * ROW].view(-1, ROW)
    rest = words[len(rows) * ROW :].long()
    by_row, by_column = rows.sum(1, dtype=torch.int64), rows.sum(0, dtype=torch.int64)
    sums = [(sums * (2 * torch.arange(len(sums), device=sums.device) + 1)).sum() for sums in (by_row, by_column, rest)]
    return tuple(tensor.shape), tensor.dtype, *torch.stack(sums).tolist()


def _words(tensor: Tensor) -> Tensor:
    """Return a tensor's bytes as integers of up to four bytes, in one dimension."""
    flat = tensor.detach().contiguous().flatten()
    if tensor.dtype == torch.bool:
        return flat.view(torch.uint8)
    integers = {1: torch.int8, 2: torch.int16}
    return flat.view(integers.get(tensor.element_size(), torch.int32))
