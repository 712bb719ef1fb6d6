"""Networks of torchvision, of timm, and of an organiser's own file."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from unlearn_bench.harness.tracks import validation
from unlearn_bench.harness.training.grouped import can_group, groups_exactly
from unlearn_bench.sandbox.inside import models, networks
from unlearn_bench.sandbox.inside.models import NetworkError

NETWORKS = {
    "torchvision:vgg11_bn": {},
    "torchvision:resnet50": {},
    "torchvision:mobilenet_v3_small": {},
    "torchvision:googlenet": {},
    "torchvision:mnasnet0_5": {},
    "torchvision:vit_b_16": {},
    "timm:convnext_atto": {},
    "timm:vit_tiny_patch16_224": {"patch_size": 8},
    "timm:swin_tiny_patch4_window7_224": {"window_size": 2},
}
OWN = """
from torch import nn

def build(classes, channels, image_size, width=4):
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)
    )
"""


def spec(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "classes": 5, "image_size": 32, **more}


def own(source: str = OWN, **more: Any) -> dict[str, Any]:
    return {"file": "net.py", "sha256": "0", "source": source, "classes": 5, "image_size": 32, "channels": 1, **more}


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_library_network_answers_small_images_and_comes_back_from_its_state(name: str, channels: int) -> None:
    wanted = spec(name, channels=channels, **NETWORKS[name])
    models.check(wanted)
    torch.manual_seed(0)
    model = models.build(wanted).eval()
    images = torch.rand(2, channels, 32, 32)
    restored = models.load(wanted, model.state_dict()).eval()
    with torch.no_grad():
        assert torch.equal(restored(images), model(images))
    assert set(models.layout(wanted)) == set(model.state_dict())


def test_a_copy_of_mnasnet_takes_tensors_by_name() -> None:
    model = models.build(spec("torchvision:mnasnet0_5"))
    copied = copy.deepcopy(model)
    copied.load_state_dict({name: torch.full_like(tensor, 3) for name, tensor in model.state_dict().items()})
    assert all((tensor == 3).all() for tensor in copied.state_dict().values())
    assert not all((tensor == 3).all() for tensor in model.state_dict().values())


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        (spec("torchvision:vgg16bn"), "near it: .*vgg16_bn"),
        (spec("torchvision:fasterrcnn_resnet50_fpn"), "no image classifier"),
        (spec("torchvision:resnet18", widht=3), "with these arguments: .*widht"),
        (spec("resnet18_narrow", width=4, stem="resnet"), "with these arguments: .*none of cifar, imagenet"),
        (spec("resnet18_narrow"), "with these arguments: .*width"),
        (spec("timm:vit_tiny_patch16_225"), "near it: .*vit_tiny_patch16_224"),
        (own("width = 3"), "defines no function build"),
        (own("import nothing_like_it"), "net.py cannot be run: ModuleNotFoundError"),
        (own("def build(classes, channels, image_size): return 1 / 0"), "build of net.py failed: ZeroDivisionError"),
        (own(widht=3), "does not take the keys of .model.: .*widht"),
        (
            own("from torch import nn\ndef build(classes, channels, image_size): return nn.Flatten()"),
            "no image classif",
        ),
        (own("def build(classes, channels, image_size): return 3"), "as a int, not as a torch.nn.Module"),
        (
            own(OWN.replace("width = 4", "") + "\nbuild = lambda **k: __import__('torch').nn.Conv2d(7, 2, 3)"),
            "take images",
        ),
        (own(OWN + "\nfirst = build\ndef build(**k): return first(**k).double()"), "float64"),
    ],
)
def test_what_is_no_classifier_for_the_track_is_refused_with_the_reason(wanted: dict[str, Any], what: str) -> None:
    with pytest.raises(NetworkError, match=what):
        models.check(wanted)


def test_a_narrow_resnet_with_the_stem_of_imagenet_is_torchvisions_network_of_that_width() -> None:
    theirs = models.build(spec("resnet18")).eval()
    ours = models.build(spec("resnet18_narrow", width=64, stem="imagenet")).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))
    half = models.build(spec("resnet18_narrow", width=32, stem="imagenet"))
    assert half.state_dict()["conv1.weight"].shape == (32, 3, 7, 7)


def test_the_check_leaves_the_random_state_where_it_was() -> None:
    state = torch.random.get_rng_state()
    models.check(own())
    assert torch.equal(state, torch.random.get_rng_state())


def test_what_an_image_needs_follows_from_the_network() -> None:
    assert models.needs(spec("timm:resnet18")) == ("torchvision", "timm")
    assert models.needs(own()) == ()
    assert models.needs(own(needs=("torchvision",))) == ("torchvision",)


def test_tracks_name_the_libraries_that_there_are() -> None:
    assert set(validation.LIBRARIES) == set(networks.LIBRARIES)


class Concatenating(nn.Module):
    """All its layers can be merged, and yet two of these are not one network with twice the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 2, 1), nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.cat([self.first(x), self.second(x)], 1).mean((2, 3)))


def test_models_are_grouped_only_if_that_changes_nothing() -> None:
    mixing = [Concatenating(), Concatenating()]
    assert can_group(mixing[0]) and not groups_exactly(mixing, 1, 8)
    plain = [models.build(own()) for _ in range(2)]
    before = copy.deepcopy(plain[0].state_dict())
    assert groups_exactly(plain, 1, 8)
    assert all(torch.equal(before[key], tensor) for key, tensor in plain[0].state_dict().items())
