"""What an entry needs beyond the packages of the image, from the ``dependencies`` of its metadata block (PEP 723)."""

from __future__ import annotations

from typing import Any

from unlearn_bench.harness.entries.faults import Fault

PROVIDED = frozenset({"torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "safetensors"})
"""Packages of the full image; their versions are the organiser's choice."""
MOST = 16
LONGEST = 200
"""Characters of one dependency."""


def parse(dependencies: Any) -> tuple[str, ...]:
    """Return the requirements beyond :data:`PROVIDED` in canonical form, sorted.

    Raises:
        Fault: it is no list of texts, or one is not of the form of PEP 508, or names a place instead of versions.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    if not isinstance(dependencies, list) or not all(isinstance(item, str) for item in dependencies):
        raise Fault("dependencies in the metadata block is not a list of texts", 'write ["torch", "einops"]')
    requirements = set()
    for text in dependencies:
        if len(text) > LONGEST:
            raise Fault(f"the dependency {text[:80]!r}… has more than {LONGEST} characters", "name it and its versions")
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            raise Fault(
                f"the dependency {text[:80]!r} cannot be read", 'write a name and versions, such as "einops>=0.8"'
            ) from None
        if requirement.url is not None or requirement.marker is not None:
            raise Fault(
                f"the dependency {requirement.name} has an address or a marker",
                "name a package of the index by versions alone",
            )
        requirement.name = canonicalize_name(requirement.name)
        if requirement.name not in PROVIDED:
            requirements.add(str(requirement))
    if len(requirements) > MOST:
        raise Fault(f"it has {len(requirements)} dependencies, more than {MOST}", "remove some")
    return tuple(sorted(requirements))
