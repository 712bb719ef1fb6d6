"""From what an entry returned to a plain network: published code returns it wrapped, pruned, as weights, in a tuple."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.utils import parametrize, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.prune import remove as remove_pruning
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.optim.swa_utils import AveragedModel

from .adapter import ContractError, StateLayout, layout

WRAPPERS = (DataParallel, DistributedDataParallel, AveragedModel)
PREFIXES = ("module.", "_orig_mod.")
"""What wrappers put before the names of weights."""

logger = logging.getLogger(__name__)


def with_plain_result(entry: Any, model: nn.Module, expected: StateLayout) -> ModuleType | SimpleNamespace:
    """Return an entry whose ``unlearn`` returns a plain network for everything that holds one.

    Args:
        entry: has the function ``unlearn``; without it, it is returned as it is.
        model: the network that ``unlearn`` gets; a state dict that it returns is loaded into it.
        expected: the architecture's.
    """
    unlearn: Callable[..., Any] | None = getattr(entry, "unlearn", None)
    if not callable(unlearn):
        return entry

    @functools.wraps(unlearn)  # the signature stays that of the entry
    def plain(*arguments: Any, **parameters: Any) -> Any:
        result = _chosen(unlearn(*arguments, **parameters))
        if isinstance(result, Mapping) and _is_state(result):
            result = _loaded(result, model, expected)
        if result is None:
            result = model
        return network(result, expected) if isinstance(result, nn.Module) else result

    return SimpleNamespace(unlearn=plain)


def network(result: nn.Module, expected: StateLayout) -> nn.Module:
    """Return the network inside torch's own wrappers, with pruning and parametrizations made permanent.

    Raises:
        ContractError: it is another architecture, and the message can say what to return instead.
    """
    while isinstance(inner := result.module if isinstance(result, WRAPPERS) else _compiled(result), nn.Module):
        result = inner
    for module in list(result.modules()):
        _make_permanent(module)
    returned, shapes = _shapes(layout(result)), _shapes(expected)
    if returned != shapes:
        _explain(result, returned, shapes)
    return result


def _compiled(result: nn.Module) -> Any:
    """Return what `torch.compile` has wrapped; its class would take seconds to import."""
    return getattr(result, "_orig_mod", None)


def _chosen(result: Any) -> Any:
    """Return the only network or state dict of a tuple; anything else as it is."""
    if not isinstance(result, tuple | list):
        return result
    networks: list[Any] = [item for item in result if isinstance(item, nn.Module)]
    networks = networks or [item for item in result if isinstance(item, Mapping) and _is_state(item)]
    if len(networks) != 1:
        return result
    logger.warning("`unlearn` returned %d values; the model among them counts", len(result))
    return networks[0]


def _is_state(result: Mapping[Any, Any]) -> bool:
    return bool(result) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in result.items())


def _loaded(state: Mapping[str, Tensor], model: nn.Module, expected: StateLayout) -> nn.Module:
    """Return the model with the weights of a state dict.

    Raises:
        ContractError: names or shapes differ from the architecture's.
    """
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state if name != "n_averaged"):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name != "n_averaged"}
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if shapes != _shapes(expected):
        raise ContractError(
            "`unlearn` returned a dictionary of tensors that is no state dict of the architecture; return the model"
        )
    plain = network(model, expected)
    plain.load_state_dict(state)
    logger.warning("`unlearn` returned a state dict; the model with these weights counts")
    return plain


@torch.no_grad()
def _make_permanent(module: nn.Module) -> None:
    for hook in list(module._forward_pre_hooks.values()):
        if isinstance(hook, BasePruningMethod):
            remove_pruning(module, hook._tensor_name)
        elif isinstance(hook, WeightNorm):
            remove_weight_norm(module, hook.name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(module, hook.name)
    if parametrize.is_parametrized(module):
        for name in list(module.parametrizations):  # type: ignore[arg-type]
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)


Shapes = dict[str, tuple[int, ...]]


def _shapes(architecture: StateLayout) -> Shapes:
    return {name: shape for name, (_, shape) in architecture.items()}


def _explain(result: nn.Module, returned: Shapes, shapes: Shapes) -> None:
    """Raise what tells an author how to return the right network, where that can be told."""
    for path, module in result.named_modules():
        if path and _shapes(layout(module)) == shapes:
            raise ContractError(
                f"`unlearn` returned a {type(result).__name__} around the model; return the model inside it, "
                f"which is its `{path}`"
            )
    if returned.keys() != shapes.keys():
        return
    different = [name for name, shape in shapes.items() if returned[name] != shape]
    larger = [name for name in different if returned[name][1:] == shapes[name][1:] and returned[name] > shapes[name]]
    if larger == different and len(different) <= len(("weight", "bias")):
        name, rows = different[0], shapes[different[0]][0]
        raise ContractError(
            f"the returned model has a larger head: {name!r} has {returned[name][0]} rows, not {rows}; return it with "
            f"the rows of the classes 0 to {rows - 1} only"
        )
