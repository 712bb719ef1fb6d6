"""One deletion request as an entry gets it, in a sandbox and in a worker process alike: model, loaders and seeds."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import adapter, loaders, models, returned


class DeletionRequest:
    """Model and loaders of one call of ``unlearn``, made before the entry's time begins.

    Args:
        spec: the architecture, see :func:`sandbox.inside.models.build`.
        state: weights to start from.
        data: images and labels of R, F and V, see :func:`sandbox.inside.loaders.make_loaders`.
        mean: of each channel, of images scaled to [0, 1].
        std: of each channel.
        batch_size: of the loaders.
        seed: of the loaders, and of everything that the entry draws.
        device: torch's name of it.
        channels_last: whether what the first convolution returns gets this memory format, so that CPUs compute the
            following ones faster. Weights keep theirs: methods take views of them.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        state: Mapping[str, Tensor],
        data: Mapping[str, Tensor],
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        batch_size: int,
        seed: int,
        device: str,
        channels_last: bool = False,
    ) -> None:
        self._seed = seed
        self._model = models.load(spec, state).to(device)
        if channels_last and (first := next((m for m in self._model.modules() if isinstance(m, nn.Conv2d)), None)):
            first.register_forward_hook(_channels_last)
        self._layout = adapter.layout(self._model)
        channels = spec.get("channels", 3)
        self._loaders = loaders.make_loaders(data, mean, std, channels, batch_size, seed, device)

    def unlearn(self, load_entry: Callable[[], ModuleType], parameters: Mapping[str, Any]) -> dict[str, Tensor]:
        """Seed random, numpy and torch, import the entry, call it, and return the state of its model.

        Args:
            load_entry: imports the entry's module.
            parameters: keyword arguments of ``unlearn``.

        Raises:
            ContractError: the entry does not keep the submission contract.
        """
        random.seed(self._seed)
        np.random.seed(self._seed % 2**32)  # numpy takes 32 bits; units' seeds have no more
        torch.manual_seed(self._seed)
        entry = returned.with_plain_result(load_entry(), self._model, self._layout)
        result = adapter.call(entry, self._model, self._loaders, parameters)
        return adapter.state(result, self._layout)


def _channels_last(module: nn.Module, given: Any, returned: Tensor) -> Tensor:
    return returned.movedim(-3, -1).contiguous().movedim(-1, -3)  # vmap has no other way
