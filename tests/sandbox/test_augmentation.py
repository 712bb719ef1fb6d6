"""Augmentations of whole batches are those of torchvision, image by image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from unlearn_bench.sandbox import toolkit
from unlearn_bench.sandbox.inside.augmentation import crop_boxes, resized_crops
from unlearn_bench.sandbox.inside.randaugment import OPERATIONS, choices, randaugmented


def pictures(n: int, channels: int = 3, h: int = 32, w: int = 32) -> Tensor:
    """Smooth pictures of several contrasts, the first of a single value."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, channels, 5, 5, generator=generator) * torch.linspace(0, 255, n)[:, None, None, None]
    return v2.functional.resize(coarse, [h, w]).clamp(0, 255).to(torch.uint8)


def by_torchvision(image: Tensor, operation: str, sign: int, magnitude: int) -> Tensor:
    values, signed = v2.RandAugment._AUGMENTATION_SPACE[operation]
    levels = values(31, *image.shape[1:])
    level = 0.0 if levels is None else float(levels[magnitude]) * (sign if signed else 1)
    transform = v2.RandAugment()
    return transform._apply_image_or_video_transform(image, operation, level, transform.interpolation, transform._fill)


@pytest.mark.parametrize("magnitude", [9, 30])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_is_that_of_torchvision(operation: str, channels: int, magnitude: int) -> None:
    images = pictures(6, channels, 28, 32)
    for negative, sign in enumerate((1, -1)):
        chosen = torch.full((6, 1), 2 * OPERATIONS.index(operation) + negative)
        result = randaugmented(images, chosen, magnitude)
        expected = torch.stack([by_torchvision(image, operation, sign, magnitude) for image in images])
        if operation in ("ShearX", "ShearY", "Rotate"):  # where a pixel lies half-way, rounding decides
            assert (result == expected).float().mean() > 0.98
        else:
            assert (result.int() - expected.int()).abs().max() <= (operation in ("Color", "Sharpness"))
        if operation not in ("Identity", "AutoContrast", "Equalize", "Color"):
            assert not torch.equal(result, images)


def test_images_of_a_batch_get_operations_of_their_own() -> None:
    images = pictures(40)
    chosen = choices(40, torch.Generator().manual_seed(3))
    alone = [randaugmented(images[i : i + 1], chosen[i : i + 1], 9) for i in range(40)]
    assert torch.equal(randaugmented(images, chosen, 9), torch.cat(alone))
    assert len(chosen[:, 0].unique()) > 15


def test_resized_crops_are_those_of_torchvision() -> None:
    images = pictures(50, h=24, w=32)
    boxes = crop_boxes(50, 24, 32, 0.1, torch.Generator().manual_seed(0))
    expected = torch.stack(
        [v2.functional.resized_crop(image, *box.tolist(), [24, 32]) for image, box in zip(images, boxes, strict=True)]
    )
    assert (resized_crops(images, boxes).int() - expected.int()).abs().max() <= 1
    scaled = [v2.functional.resized_crop(i.float(), *b.tolist(), [24, 32]) for i, b in zip(images, boxes, strict=True)]
    assert torch.allclose(resized_crops(images.float(), boxes), torch.stack(scaled), atol=1e-3)


def test_cut_outs_have_the_sizes_that_torchvision_draws() -> None:
    boxes = crop_boxes(4000, 32, 32, 0.2, torch.Generator().manual_seed(0)).float()
    torch.manual_seed(0)
    drawn = [v2.RandomResizedCrop(32, scale=(0.2, 1)).make_params([torch.zeros(3, 32, 32)]) for _ in range(4000)]
    for column, key in enumerate(("top", "left", "height", "width")):
        theirs = torch.tensor([float(each[key]) for each in drawn])
        assert boxes[:, column].mean() == pytest.approx(theirs.mean(), abs=0.5)
        assert boxes[:, column].std() == pytest.approx(theirs.std(), abs=0.5)
    assert (boxes[:, 0] + boxes[:, 2]).max() <= 32 and (boxes[:, 1] + boxes[:, 3]).max() <= 32


def test_the_toolkit_augments_images_of_any_scale_and_draws_from_torchs_seed() -> None:
    images = pictures(16)
    mean, std = torch.tensor([0.4, 0.5, 0.6])[:, None, None], 0.25
    black, white = (0 - mean) / std, (1 - mean) / std
    scaled = (images / 255 - mean) / std
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(toolkit.augment(scaled, randaugment=9, random_resized_crop=0.5, fill=black, white=white))
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
    assert (results[0] >= black - 1e-4).all() and (results[0] <= white + 1e-4).all()
    torch.manual_seed(1)
    boxes, chosen = crop_boxes(16, 32, 32, 0.5), choices(16)
    expected = randaugmented(resized_crops(images, boxes), chosen, 9)
    close = ((results[0] * std + mean) * 255 - expected).abs() < 0.01
    assert close.float().mean() > 0.99


def test_mixup_is_that_of_torchvision() -> None:
    images, labels = torch.rand(12, 3, 4, 4), torch.arange(12) % 5
    weights = torch.rand(48, 5)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 5, bias=False))
    model[1].weight = torch.nn.Parameter(weights.T)
    torch.manual_seed(4)
    loss = toolkit.cross_entropy(model, label_smoothing=0.1, mixup=0.4)(images, labels)
    torch.manual_seed(4)
    mixed, targets = v2.MixUp(alpha=0.4, num_classes=5)(images, labels)
    expected = torch.nn.functional.cross_entropy(model(mixed), targets, label_smoothing=0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
