"""Units in this process: a call of ``unlearn`` without sandbox and clock, and a function in the place of a file."""

from __future__ import annotations

import inspect
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.entries.entry import NAME, Entry, InvalidEntry
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.units import access
from unlearn_bench.harness.units.runner import U, UntimedResult
from unlearn_bench.harness.units.unit_kinds import Unit
from unlearn_bench.scoring.distances import weight_distance

BACKEND = "in-process"
"""What records call it; it is no sandbox."""


def unlearned(
    references: References, unit: Unit, load_entry: Callable[[], Any], device: str, *, channels_last: bool = False
) -> tuple[NDArray[np.float32], float | None]:
    """Run one unit; return the logits [n, classes] of its model on every example, and how far its weights moved.

    That is their normalised L2 distance from the original's, ``None`` where it is not finite.

    Args:
        references: of the track.
        unit: the unit to run.
        load_entry: returns what has the function ``unlearn``, after torch, numpy and random were seeded.
        device: torch's name of it.
        channels_last: see :class:`sandbox.inside.request.DeletionRequest`.

    Raises:
        ContractError: the entry does not keep the submission contract. What the entry raises is not caught.
    """
    import torch
    from safetensors.torch import load

    from unlearn_bench.harness.training.inference import infer, normaliser
    from unlearn_bench.sandbox.inside import models
    from unlearn_bench.sandbox.inside.request import DeletionRequest

    track, examples = unit.track, references.examples
    original = state = load(references.weights(unit.original))
    for number, given in enumerate(access.given(unit, examples)):
        request = DeletionRequest(
            track.model_spec,
            state,
            {name: torch.from_numpy(array) for name, array in given.arrays(examples.dataset).items()},
            mean=track.data.mean,
            std=track.data.std,
            batch_size=track.protocol.batch_size,
            seed=unit.request_seed(number),
            device=device,
            channels_last=channels_last,
        )
        state = request.unlearn(load_entry, dict(unit.entry.overrides))
    model = models.load(track.model_spec, state)
    logits = infer(model, torch.from_numpy(examples.dataset.images), normaliser(track, device), device)
    before, after = ({name: tensor.numpy() for name, tensor in each.items()} for each in (original, state))
    finite = all(np.isfinite(array).all() for array in after.values())
    return logits, weight_distance(after, before) if finite else None


@dataclass(frozen=True)
class FunctionEntry(Entry):
    """A function of this process in the place of a submitted file. What it has closed over is not part of its id."""

    function: Callable[..., Any] | None = None


def function_entry(function: Callable[..., Any], name: str | None = None) -> FunctionEntry:
    """Return a function ``unlearn(model, retain, forget, val, *, …)`` as an entry.

    ``name``: on the board; default: the function's own.

    Raises:
        InvalidEntry: it has no name that an entry may have.
    """
    name = name or str(getattr(function, "__name__", type(function).__name__))
    if not NAME.fullmatch(name):
        raise InvalidEntry(
            f"{name!r} cannot be an entry's name", "pass name=…: letters, digits, _, - and ., 64 at most"
        )
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt, or no plain function
        source = repr(function)
    parameters = inspect.signature(function).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    summary = ((inspect.getdoc(function) or "").splitlines() or [""])[0]
    return FunctionEntry(name, source.encode(), defaults=defaults, summary=summary, function=function)


class InProcessRunner:
    """Runs the units of a function one after the other in this process, without a deadline.

    Whatever the function raises reaches the caller, who wrote it. The random state of the process stays as it was.
    """

    backend = BACKEND
    trusted = False
    at_once = 1
    overhead = 0.2

    def __init__(self, references: References, device: str = "cpu") -> None:
        self._references, self._device = references, device

    def run(self, units: Sequence[U], deadline: float) -> Iterator[tuple[U, UntimedResult]]:
        """Run units; yield each with its logits.

        Raises:
            InvalidEntry: the function breaks the contract of submissions, or its model's outputs are not finite.
        """
        for unit in units:
            yield unit, self._run(unit)

    def _run(self, unit: Unit) -> UntimedResult:
        from unlearn_bench.sandbox.inside.adapter import ContractError

        assert isinstance(unit.entry, FunctionEntry)
        namespace = SimpleNamespace(unlearn=unit.entry.function)
        start = time.process_time()
        try:
            with _as_in_a_sandbox():
                logits, weight_shift = unlearned(self._references, unit, lambda: namespace, self._device)
        except ContractError as error:
            raise InvalidEntry(f"{unit.label}: {error}", "see Submitting a method in docs/participant.md") from None
        if not np.isfinite(logits).all():
            remedy = "look for a learning rate that is too high, or a loss that has no lower bound"
            raise InvalidEntry(f"{unit.label}: the model's outputs are not finite", remedy)
        return UntimedResult("ok", "", logits, time.process_time() - start, weight_shift=weight_shift)


@contextmanager
def _as_in_a_sandbox() -> Iterator[None]:
    """Compute in one thread, as a sandbox does, and leave threads and random generators as they were."""
    import torch

    threads, states = torch.get_num_threads(), (random.getstate(), np.random.get_state())
    with torch.random.fork_rng():
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            random.setstate(states[0])
            np.random.set_state(states[1])


def environment(device: str) -> Mapping[str, Any]:
    """Return what records say of where a function ran."""
    import torch

    return {"backend": BACKEND, "trusted": False, "torch": torch.__version__, "device": device}
