"""How an entry is called, and how its result becomes a state of the architecture.

The rule of the call: the parameters of ``unlearn`` **without** a default are model, retain, forget, val, in this
order, whatever their names; there may be two, three or four of them. A parameter **with** a default is a
hyper-parameter, positional or not, and is passed by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

StateLayout = dict[str, tuple[torch.dtype, tuple[int, ...]]]

ROLES = ("model", "retain", "forget", "val")


class ContractError(Exception):
    """The entry does not keep the submission contract; the message is for its author."""


class NotApplicable(Exception):
    """An entry raises it where its method cannot work on the network; the message says why in one sentence.

    The unit then ends as ``not-applicable``, and the method has no place on the track, rather than F.
    """


class Withheld(NotApplicable):
    """Raised where an entry reads what the track's access tier keeps from it: the data is not in the sandbox.

    An entry that lets it pass ends as ``not-applicable``; one that can work without the data may catch it.
    """


def call(module: Any, model: nn.Module, loaders: tuple[Any, Any, Any], parameters: Mapping[str, Any]) -> nn.Module:
    """Call ``module.unlearn`` and return what it returned, or ``model`` if that was ``None``.

    The entry always gets ``model`` in eval mode, with every parameter trainable and without gradients.
    """
    unlearn = getattr(module, "unlearn", None)
    if not callable(unlearn):
        raise ContractError("the file defines no function `unlearn`")
    count = _positional(unlearn, parameters)
    model.eval().requires_grad_(True).zero_grad(set_to_none=True)
    result = unlearn(*(model, *loaders)[:count], **parameters)
    if result is None:
        return model
    if not isinstance(result, nn.Module):
        raise ContractError(
            f"`unlearn` returned {type(result).__name__}; expected the model, or None after a change in place"
        )
    return result


def _positional(unlearn: Callable[..., Any], parameters: Mapping[str, Any]) -> int:
    """Return how many of the four arguments to pass; raise ``ContractError`` if the signature does not fit."""
    try:
        signature = inspect.signature(unlearn)
    except (TypeError, ValueError) as error:
        raise ContractError("the signature of `unlearn` cannot be read") from error
    parameters_of_entry = signature.parameters.values()
    kinds = {p.kind for p in parameters_of_entry}
    positional = [p for p in parameters_of_entry if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p.name for p in positional if p.default is p.empty]
    count = len(ROLES) if inspect.Parameter.VAR_POSITIONAL in kinds else len(required)
    if not 2 <= count <= len(ROLES) or len(required) > count:
        raise ContractError(
            f"`unlearn` requires {len(required)} positional parameters ({', '.join(required) or 'none'}); expected "
            "model, retain, forget, val or the first two or three of them (hyper-parameters need a default)"
        )
    by_name = [
        p for p in parameters_of_entry if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in required
    ]
    names = [p.name for p in by_name]
    unknown = sorted(parameters.keys() - set(names))
    if unknown and (inspect.Parameter.VAR_KEYWORD not in kinds or set(unknown) & set(required)):
        raise ContractError(f"`unlearn` has no hyper-parameter {unknown[0]!r}; it has: {', '.join(names) or 'none'}")
    missing = [p.name for p in by_name if p.default is p.empty and p.name not in parameters]
    if missing:
        raise ContractError(f"the keyword parameter {missing[0]!r} of `unlearn` has neither a default nor a value")
    return count


def layout(model: nn.Module) -> StateLayout:
    """Return the names, dtypes and shapes of a model's state."""
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in model.state_dict().items()}


def state(model: nn.Module, expected: StateLayout) -> dict[str, Tensor]:
    """Return the model's state on the CPU, in the expected dtypes (so half precision is cast) and in memory of its own.

    Raises:
        ContractError: names or shapes differ; the message gives the first difference.
    """
    tensors = model.state_dict()
    missing, extra = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    if missing or extra:
        words = [f"{what} {min(names)!r}" for what, names in (("lacks", missing), ("has in addition", extra)) if names]
        raise ContractError(f"the returned model has another architecture: it {' and '.join(words)}")
    result = {}
    for name, (dtype, shape) in expected.items():
        returned_shape = tuple(tensors[name].shape)
        if returned_shape != shape:
            raise ContractError(
                f"the returned model has another architecture: {name!r} is {list(returned_shape)}, not {list(shape)}"
            )
        result[name] = tensors[name].detach().to("cpu", dtype, copy=True).contiguous()
    return result
