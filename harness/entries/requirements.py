"""What an entry needs beyond the packages of the image, from the ``dependencies`` of its metadata block (PEP 723)."""

from __future__ import annotations

from collections.abc import Sequence

PROVIDED = frozenset({"torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "safetensors"})
"""Packages of the full image; their versions are the organiser's choice."""
MOST = 16


class RequirementError(Exception):
    """A dependency that cannot be installed for an entry: ``what`` is wrong, and the ``remedy``."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what, self.remedy = what, remedy


def parse(dependencies: Sequence[str]) -> tuple[str, ...]:
    """Return the requirements beyond :data:`PROVIDED` in canonical form, sorted.

    Raises:
        RequirementError: one is not of the form of PEP 508, or names a place instead of versions.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    requirements = set()
    for text in dependencies:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            raise RequirementError(
                f"the dependency {text[:80]!r} cannot be read", 'write a name and versions, such as "einops>=0.8"'
            ) from None
        if requirement.url is not None or requirement.marker is not None:
            raise RequirementError(
                f"the dependency {requirement.name} has an address or a marker",
                "name a package of the index by versions alone",
            )
        requirement.name = canonicalize_name(requirement.name)
        if requirement.name not in PROVIDED:
            requirements.add(str(requirement))
    if len(requirements) > MOST:
        raise RequirementError(f"it has {len(requirements)} dependencies, more than {MOST}", "remove some")
    return tuple(sorted(requirements))
