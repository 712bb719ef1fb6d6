"""The specification of a track: data set × architecture × splits × recipe × protocol, identified by three digests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.tracks.competition import Competition

Access = Literal["full", "no-retain", "few-shot-retain", "no-forget-images"]
"""What a track's units give an entry to read: R, F and V in full, or less."""
PRETRAINED = ("pretrained", "pretrained_sha256")
"""Keys of ``[model]`` that say what weights a network starts from."""


@dataclass(frozen=True)
class Corruption:
    """How a part of the training data is corrupted, for corrective unlearning (Goel et al. 2024, arXiv:2402.14015).

    F is the identified part of what is corrupted, R everything else.
    """

    kind: Literal["confusion", "mislabel", "backdoor"]
    """``confusion``: examples of two classes have each other's label. ``mislabel``: another label, drawn at random.
    ``backdoor``: a trigger in the image, and the label ``target``."""
    rate: float
    """Share of R ∪ F that is corrupted."""
    seed: int
    """Decides which examples these are, their wrong labels, and the pattern of a blended trigger."""
    identified: float = 1.0
    """Share of the corrupted examples that is known to be corrupted: F."""
    classes: tuple[int, ...] = ()
    """The two classes that are confused."""
    trigger: Literal["patch", "blend"] | None = None
    """``patch``: a chequered square in the lower right corner (Gu et al. 2017, arXiv:1708.06733). ``blend``: a pattern
    of noise mixed into the whole image (Chen et al. 2017, arXiv:1712.05526)."""
    size: int | None = None
    """Side of the patch in pixels."""
    strength: float | None = None
    """Share of the pattern in a blended image."""
    target: int | None = None
    """The class that images with the trigger are labelled as."""

    def count(self, population: int) -> int:
        """Return how many of ``population`` examples, R and F together, are corrupted."""
        return round(self.rate * population)

    def identified_count(self, population: int) -> int:
        """Return how many of them are identified: the size of F."""
        return round(self.identified * self.count(population))


@dataclass(frozen=True)
class Data:
    """The data set and how its images are presented (evaluation page, section 1)."""

    name: str
    """A file of ``harness/data/datasets`` without its ``.py``, ``torchvision:NAME``, ``hf:NAME``, or ``NAME.py`` in the
    data folder."""
    classes: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rotation_seed: int | None = None
    """Rotate every image once, by an angle in ±180° drawn from this seed (digits only)."""
    path: str | None = None
    """File or folder of a user's own data set, relative to the data folder; of a library's, where it looks for it."""
    sha256: str | None = None
    """Of images and labels as used; checked whenever the data is loaded."""
    superclasses: tuple[int, ...] = ()
    """The class of the track that each of the data set's own classes is part of; default: they are the same."""
    code_sha256: str | None = None
    """Of the file ``name``, which runs on the host, if it is not one of the benchmark's own."""
    parts: tuple[str, ...] = ()
    """Parts of a library's data set, as it names them; the last of several is the official test part."""
    arguments: Mapping[str, Any] | None = None
    """Further arguments for the library; of ``hf:NAME`` also ``image`` and ``label``, the names of the columns."""
    corruption: Corruption | None = None
    """What a part of R ∪ F looks like in training."""

    @property
    def library(self) -> str:
        """The library that reads the data set, or nothing."""
        return self.name.partition(":")[0] if ":" in self.name else ""

    @property
    def is_file(self) -> bool:
        """Whether the data set is the user's own file instead of one of the benchmark's."""
        return self.name.endswith(".py")

    @property
    def own_classes(self) -> int:
        """Number of the data set's own classes, which ``superclasses`` merge into fewer."""
        return len(self.superclasses) or self.classes


@dataclass(frozen=True)
class Splits:
    """Which examples are retained, forgotten, validated and tested on."""

    rule: Literal["paper", "per-seed", "fixed", "file"]
    """``paper``: the data set's own test part. ``per-seed``: all drawn anew for every seed. ``fixed``: drawn once.
    ``file``: those of ``indices``."""
    seed: int
    retain: int
    forget: int
    val: int
    test: int
    forget_rule: Literal["random", "class", "highest"] = "random"
    """Which of R ∪ F are F. ``class``: all of ``forget_classes``. ``highest``: those with the highest ``values``."""
    forget_classes: tuple[int, ...] = ()
    """Classes of the data set itself: with ``data.superclasses`` they are a part of a track's class."""
    values: str | None = None
    """File with a number per example of the data set (.npy), shipped beside the tracks or in the data folder."""
    values_sha256: str | None = None
    groups: str | None = None
    """File with an integer per example of the data set (.npy), in the same places as ``values``: examples with the same
    number, such as near-duplicates, lie in one of R, F, V and T."""
    groups_sha256: str | None = None
    indices: str | None = None
    """File with the indices of R, F, V and T (.npz), in the same places as ``values``: each [n], or [seeds, n]."""
    indices_sha256: str | None = None
    shadow_size: Literal["half", "original"] = "half"
    """How many examples a shadow model learns. ``half``: half of R ∪ F of seed 0. ``original``: as many as an original,
    so that R and F of shadow units are as large as those of seed units and do not give them away."""


@dataclass(frozen=True)
class Recipe:
    """How originals and retrained models are trained."""

    epochs: int
    batch_size: int
    lr: float
    schedule: Literal["one-cycle", "cosine"]
    seed: int
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop: int = 0
    """Padding in pixels of the random crop; 0 means none."""
    flip: bool = False
    weights: Literal["float32", "float16"] = "float32"
    """Precision the originals are rounded to before any use."""
    shadow_epochs: int | None = None
    """Epochs of the shadow models, where they differ from ``epochs``."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of forward and backward pass. ``bfloat16`` allows mixed precision by autocast (weights and optimizer in float32)
    where the device computes in it, float32 elsewhere; every model's entry in the manifest records which one it was."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """``adamw`` has torch's defaults beside ``lr`` and ``weight_decay``."""
    nesterov: bool = False
    warmup: float = 0.0
    """Epochs in which the rate of the schedule ``cosine`` rises."""
    label_smoothing: float = 0.0
    clip: float | None = None
    """Largest norm of a gradient; default: any."""
    random_resized_crop: float = 0.0
    """Least share of an image's area that is cut out and enlarged (Szegedy et al. 2015); 0 means none."""
    randaugment: int = 0
    """Magnitude 1 … 30 of two random operations per image (Cubuk et al. 2020); 0 means none."""
    mixup: float = 0.0
    """Images and targets are mixed in shares drawn from Beta(mixup, mixup) (Zhang et al. 2018); 0 means not."""

    @property
    def plain(self) -> bool:
        """Whether a step is one of SGD that changes every weight by itself, on images that are moved at most."""
        augmented = self.random_resized_crop or self.randaugment or self.mixup
        return self.optimizer == "sgd" and not self.nesterov and self.clip is None and not augmented


@dataclass(frozen=True)
class Protocol:
    """How a unit is run: roles, loaders and limits."""

    seeds: int
    seed: int
    """The seeds of the units are derived from it."""
    batch_size: int = 64
    deadline_floor: float = 60.0
    """Seconds; the deadline is the larger of this and ``deadline_factor`` × Retrain's time."""
    deadline_factor: float = 2.0
    memory_mib: int = 4096
    processes: int = 256
    lira_splits: int = 0
    """Half-splits of U-LiRA's shadow models, in complementary pairs."""
    lira_forget_sets: int = 0
    """Forget sets that partition the half of each shadow split."""
    access: Access = "full"
    """What entries get to read of R, F and V. Retrain, the yardstick of time, gets everything."""
    retain_per_class: int = 0
    """With ``few-shot-retain``, how many examples of each class entries get of R, and of V."""
    requests: int = 1
    """F is deleted in this many requests of one size, one after the other (sequential deletion)."""
    contract: int = 1
    """Version of the submission contract."""
    packages: bool = field(default=False, metadata={"rule": True})
    """Whether an entry may have several files. It is in no digest: to allow it orphans no unit."""

    @property
    def tier(self) -> str:
        """The access tier with its number: what all tracks of one board share."""
        return f"{self.access}, {self.retain_per_class} per class" if self.retain_per_class else self.access


@dataclass(frozen=True)
class ProbeSettings:
    """Hyper-parameters of the probes of ``harness.probes``; the defaults are good for the digits tracks."""

    rate: float = 0.25
    """Learning rate of fine-tuning, as a share of the recipe's; optimizer and batch size are those of the recipe."""
    relearning_steps: int = 21
    """Steps of fine-tuning on R."""
    few_shot_examples: int = 10
    """Forget examples that few-shot relearning sees."""
    few_shot_draws: int = 3
    """How often they are drawn."""
    few_shot_steps: int = 10
    examples: int = 1024
    """The most examples of R, of F and of T that a probe looks at."""
    penalty: float = 100.0
    """On half the squared weights of the linear probe, beside the cross-entropy summed over the examples."""
    neighbours: int = 5
    noise: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Standard deviations of the noise on normalised images."""
    noise_draws: int = 4
    """Perturbed copies of each forget example and standard deviation."""
    points: int = 5
    """Equally spaced models on the line between two, both ends included."""
    deadline: float = field(default=60.0, metadata={"rule": True})
    """Seconds that one probe may take for one model; in no digest."""
    bits: tuple[int, ...] = (16, 8)
    """Precisions of the weights: 16 is half precision, fewer are integers with a scale per output channel."""


@dataclass(frozen=True)
class Analysis:
    """What is computed from stored logits and weights, and the tuning budget; changing it orphans no unit."""

    umia_seed: int = 0
    max_epochs: int = 10
    """Upper end of the search for a method's epochs."""
    trials: int = 100
    tuning_seeds: int = 3
    title: str = ""
    probes: ProbeSettings = ProbeSettings()


@dataclass(frozen=True)
class Sealed:
    """Stands in place of the seeds of a track whose secret is kept elsewhere (``harness.tracks.sealed``)."""

    commitment: str
    """SHA-256 of the secret, as 64 hexadecimal digits."""
    quota: int = 0
    """How many different sources of one entry are scored; 0: any number."""


@dataclass(frozen=True)
class Track:
    """One track. ``model`` is the network's specification, see :func:`sandbox.inside.models.build`."""

    name: str
    data: Data
    splits: Splits
    model: Mapping[str, Any]
    recipe: Recipe
    protocol: Protocol
    analysis: Analysis = field(default_factory=Analysis)
    sealed: Sealed | None = None
    competition: Competition | None = None
    """In no digest."""
    salt: str = field(default="", repr=False, metadata={"secret": True})
    """Of a sealed track; without it, seeds could be guessed from the digests."""
    network_source: str = field(default="", repr=False, metadata={"secret": True})
    """Text of the file ``model.file``, or of an installed package's network; it runs on the host and in the sandbox."""
    folder: str = field(default="", repr=False, metadata={"secret": True})
    """Of the track's file, beside which pretrained weights are looked for."""

    @property
    def corruption(self) -> str:
        """The kind of corruption of the training data; empty where it is clean."""
        return "" if self.data.corruption is None else self.data.corruption.kind

    @cached_property
    def reference_digest(self) -> str:
        """Identifies the reference models: data, splits, architecture, recipe."""
        return self._digest(
            {
                "data": _declared(self.data),
                "splits": _declared(self.splits),
                "model": dict(self.model),
                "recipe": _declared(self.recipe),
            }
        )

    @cached_property
    def protocol_digest(self) -> str:
        """Identifies how units are run: roles, loaders, limits, contract."""
        return self._digest(_declared(self.protocol))

    @cached_property
    def analysis_digest(self) -> str:
        """Identifies what is computed from the logits."""
        return self._digest(_declared(self.analysis))

    @cached_property
    def probes_digest(self) -> str:
        """Identifies what probes do with a model's weights."""
        return self._digest(_declared(self.analysis.probes))

    def _digest(self, content: dict[str, Any]) -> str:
        return digest({**content, "salt": self.salt} if self.sealed else content)

    @property
    def model_spec(self) -> dict[str, Any]:
        """The full specification for ``sandbox.inside.models.build``."""
        architecture = {key: value for key, value in self.model.items() if key not in PRETRAINED}
        spec = {"classes": self.data.classes, "image_size": self.data.image_size, **architecture}
        if not self.network_source:
            return spec
        return {"file": self.model.get("name"), **spec, "source": self.network_source}


def _declared(table: Any) -> dict[str, Any]:
    """Return what differs from the defaults, so that a new key does not change the digests of old tracks.

    Fields with the metadata ``rule`` say what may be sent in, not how it is run.
    """
    fields = [f for f in dataclasses.fields(table) if "rule" not in f.metadata]
    changed = {f.name: getattr(table, f.name) for f in fields if getattr(table, f.name) != f.default}
    return {name: _declared(value) if dataclasses.is_dataclass(value) else value for name, value in changed.items()}
