"""CPU seconds per reference model of the default track: a plain PyTorch loop against ours, interleaved."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.utils.data import DataLoader, TensorDataset

from harness import prepare
from harness.references import References, Role, order_seed
from harness.store import Store
from harness.track import load
from harness.training import normaliser
from sandbox.inside.models import build

EPOCHS = 5
ROUNDS = 5


def plain(references: References) -> None:
    """DataLoader, default SGD, ``.item()`` at every step."""
    track, recipe = references.track, references.track.recipe
    rows = references.training_set(Role("original", 0))
    images = normaliser(track)(torch.from_numpy(references.dataset.images[rows]))
    batches = DataLoader(
        TensorDataset(images, torch.from_numpy(references.dataset.labels[rows])),
        batch_size=recipe.batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(order_seed(track, Role("original", 0))),
    )
    model = build(track.model_spec)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=recipe.epochs * len(batches))
    total = 0.0
    for _ in range(recipe.epochs):
        for x, y in batches:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()


def main() -> None:
    torch.set_num_threads(1)
    track = load("digits-resnet18")
    track = replace(track, recipe=replace(track.recipe, epochs=EPOCHS))
    references = References(track, Store())

    def grouped(count: int) -> Callable[[], object]:
        return lambda: prepare._train(references, [Role("original", seed) for seed in range(count)])

    ways: dict[str, tuple[int, Callable[[], object]]] = {"plain loop": (1, lambda: plain(references))}
    ways |= {f"ours, {n} at once": (n, grouped(n)) for n in (1, 2, 4, 8)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS + 1):
        for name, (count, work) in ways.items():
            start = time.process_time()
            work()
            seconds[name].append((time.process_time() - start) / count)
    first = statistics.median(seconds["plain loop"][1:])
    print(f"CPU seconds per model, {EPOCHS} of 20 epochs, one thread, median of {ROUNDS}")
    for name, values in seconds.items():
        middle = statistics.median(values[1:])
        print(f"{name:<18}{middle:>7.3f}{first / middle:>7.2f}×")


if __name__ == "__main__":
    main()
