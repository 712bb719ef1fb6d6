"""Fine-tuning of a copy of a model, as relearning attacks do it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from torch import Tensor, nn

from unlearn_bench.harness.probes.context import ProbeContext
from unlearn_bench.harness.training.small_maps import with_small_map_convolutions
from unlearn_bench.sandbox.inside.recipe import recipe_optimizer
from unlearn_bench.sandbox.toolkit import cross_entropy, train_epoch


def fine_tuned(
    context: ProbeContext, model: nn.Module, batches: Iterator[tuple[Tensor, ...]], pauses: list[int]
) -> Iterator[nn.Module]:
    """Train a copy of a model on batches, with the recipe's optimizer at a constant rate; yield it after some steps.

    Args:
        context: has the recipe, and the share of its learning rate.
        model: is left as it is.
        batches: images and labels, at least as many as the last of ``pauses``.
        pauses: ascending numbers of steps after which the copy is yielded, in eval mode.
    """
    recipe, trained = context.recipe, with_small_map_convolutions(context.copy(model))
    optimizer = recipe_optimizer(
        trained.parameters(),
        recipe.optimizer,
        recipe.lr * context.settings.rate,
        recipe.weight_decay,
        recipe.momentum,
        recipe.nesterov,
    )
    objective, done = cross_entropy(trained), 0
    for pause in pauses:
        trained.train()
        train_epoch(objective, islice(batches, pause - done), optimizer)
        done = pause
        yield trained.eval()
