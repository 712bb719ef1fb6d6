"""Weights that other programs stored, read without running anything: safetensors, or PyTorch's format.

PyTorch's unpickler is told to accept nothing but tensors and plain containers (``weights_only``).
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_bench.sandbox.text import one_line

if TYPE_CHECKING:
    from torch import Tensor

CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "ema")
"""Keys under which training programs keep the weights, beside optimizer and epoch; the first that is there counts."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What wrappers put before every name: DataParallel, torch.compile, Lightning and the like."""


class UnreadableWeights(Exception):
    """A file without weights that can be read: ``what`` is wrong, and the ``remedy``."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what, self.remedy = what, remedy


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by the names that it gives them.

    Raises:
        UnreadableWeights: it is missing or damaged, could only be read by running code, or holds something else.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnreadableWeights(
            f"{path} holds more than tensors, and nothing of it was run: {one_line(_reason(error), 160)}",
            "save the weights alone: torch.save(model.state_dict(), path)",
        ) from None
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableWeights(f"{path} cannot be read: {one_line(str(error), 160)}", "save it again") from None
    state = _state(content)
    if state is None:
        found = f"keys {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else type(content)
        what = f"{path} holds no weights by name, but {one_line(str(found), 160)}"
        raise UnreadableWeights(what, "save model.state_dict() of the network")
    return dict(state)


def without_prefixes(state: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Return the tensors without what wrappers put before every name, until one of the network's ``names`` is there."""
    renamed = dict(state)
    while renamed and not renamed.keys() & set(names):
        prefix = next((each for each in PREFIXES if all(name.startswith(each) for name in renamed)), None)
        if prefix is None:
            break
        renamed = {name.removeprefix(prefix): tensor for name, tensor in renamed.items()}
    return renamed


def _reason(error: pickle.UnpicklingError) -> str:
    """Return what the unpickler refused, without PyTorch's advice to allow it."""
    refused = re.search(r"(?:Unsupported \w+ |GLOBAL |Unsupported global: GLOBAL )([\w.]+)", str(error))
    return refused[1] if refused else str(error).splitlines()[-1] if str(error) else "no pickle of tensors"


def _state(content: Any) -> Mapping[str, Tensor] | None:
    """Return the tensors by name that a checkpoint holds, perhaps beside an optimizer's state and the like."""
    import torch

    if not isinstance(content, Mapping):
        return None
    if content and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in content.items()):
        return content
    inner = (_state(content[key]) for key in CONTAINERS if key in content)
    return next((state for state in inner if state is not None), None)
