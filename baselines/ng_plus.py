# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "NG+"
# authors = "M. Kurmanji, P. Triantafillou, J. Hayes, E. Triantafillou"
# paper = "https://arxiv.org/abs/2302.09880"
# licence = "Apache-2.0"
# ///
"""Negative gradient plus: descend on the retain set while ascending on the forget set.

Kurmanji, Triantafillou, Hayes and Triantafillou 2023, "Towards Unbounded Machine Unlearning", arXiv:2302.09880
(NegGrad+); Deep Unlearn, section 3.2.

Idea: gradient ascent on F, held in place by a descent on R. SGD without momentum, at a constant rate, on a·CE(R batch)
− (1−a)·CE(F batch).
Reads: R and F. Cost: ``epochs`` passes over R, each R batch with an F batch beside it, and up to 256 samples of F per
epoch for inference.
Decisions: every R batch is paired, and F starts over, newly shuffled, when it runs out; the authors repeat its batches
within an epoch. Train mode throughout, as in the authors' later notebooks; their small-scale one trains in eval mode
and pulls the weights towards those of the original. The loss has no bound: when the state or answers on F are no longer
finite after an epoch, the epoch before it is the result.
Defaults: ``a``, ``epochs``, ``lr``, ``momentum`` and ``weight_decay`` from the authors' code
(github.com/meghdadk/SCRUB, ``small_scale_unlearning.ipynb``; on all of CIFAR-10 they take a = .9999 and 5 epochs),
``batch_size`` from Deep Unlearn's.
"""

from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import cross_entropy, finite, forever, predict, rebatch, sgd, train_epoch

SEARCH_SPACE = {
    "a": ("1-log", 1e-4, 0.5),
    "lr": ("rate", 1e-5, 1.0),
    "weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 1, "max_epochs"),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    a: float = 0.95,
    epochs: int = 10,
    batch_size: int = 256,
    lr: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> nn.Module:
    optimizer = sgd(model.parameters(), lr, weight_decay, momentum)
    error = cross_entropy(model)

    def mix(kept: tuple[Tensor, Tensor], forgotten: tuple[Tensor, Tensor]) -> Tensor:
        return a * error(*kept) - (1 - a) * error(*forgotten)

    retained, scrubbed = rebatch(retain, batch_size), rebatch(forget, batch_size)
    for _ in range(epochs):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.train()
        train_epoch(mix, zip(retained, forever(scrubbed), strict=False), optimizer)
        if not finite(model, predict(model, scrubbed.data[0][:256])):
            model.load_state_dict(before)
            break
    return model
