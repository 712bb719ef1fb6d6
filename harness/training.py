"""Training of reference models: the track's recipe, for one model or for several small ones at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from harness.grouped import Grouped
from harness.track import Recipe, Track
from sandbox.inside.loaders import normalise
from sandbox.toolkit import augment, recipe_schedule

EVALUATION_BATCH = 1024


def normaliser(track: Track, device: str = "cpu") -> Callable[[Tensor], Tensor]:
    """uint8 images [n, c, h, w] → the model's float32 input, as the entries' loaders do it."""
    shape = (track.model_spec.get("channels", 3), 1, 1)
    mean, std = (
        torch.tensor(values, device=device).view(-1, 1, 1).expand(shape) for values in (track.data.mean, track.data.std)
    )
    return lambda images: normalise(images, mean, std)


def train(
    members: Sequence[nn.Module],
    images: Tensor,
    labels: Tensor,
    subsets: Sequence[NDArray[np.int64]],
    seeds: Sequence[int],
    recipe: Recipe,
    to_input: Callable[[Tensor], Tensor],
    on_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Train models of one architecture in place, each on its own subset, in its own order.

    Args:
        members: the models; more than one must be groupable (``harness.grouped.can_group``).
        images: uint8 [n, c, h, w], on the models' device.
        labels: int64 [n].
        subsets: for each model the indices of its training examples; all of one length.
        seeds: for each model the seed of its data order, which depends on nothing else.
        recipe: epochs, batch size, optimizer, schedule, augmentation.
        to_input: from uint8 to the model's input, see :func:`normaliser`.
        on_epoch: called after every epoch.
    """
    network: nn.Module = Grouped(members) if len(members) > 1 else members[0]
    network.train()
    count = len(subsets[0])
    steps = -(-count // recipe.batch_size)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    schedule = recipe_schedule(optimizer, recipe.schedule, recipe.lr, recipe.epochs, steps)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    indices = torch.from_numpy(np.stack(subsets))
    for _ in range(recipe.epochs):
        order = torch.stack([torch.randperm(count, generator=generator) for generator in generators])
        shuffled = indices.gather(1, order).to(labels.device)
        for rows in shuffled.tensor_split(steps, dim=1):  # evenly: a small last batch would ruin batch-norm statistics
            batch = images[rows.flatten()]
            if recipe.crop or recipe.flip:
                batch = augment(batch, recipe.crop, recipe.flip)
            batch = to_input(batch)
            logits = network(batch.unflatten(0, rows.shape)) if len(members) > 1 else network(batch)[None]
            # the sum over models of their mean losses: each model gets the gradient it would get alone
            loss = cross_entropy(logits.flatten(0, 1), labels[rows].flatten(), reduction="sum") / rows.shape[1]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        on_epoch()
    if isinstance(network, Grouped):
        network.write_back(members)


@torch.inference_mode()
def infer(model: nn.Module, images: Tensor, to_input: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
    """Logits [n, classes] of a model in eval mode for uint8 images [n, c, h, w] on its device, in one pass."""
    model.eval()
    blocks = [model(to_input(block)) for block in images.split(EVALUATION_BATCH)]
    return torch.cat(blocks).float().cpu().numpy()
