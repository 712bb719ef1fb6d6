"""The import graph: folders with their modules, arrows between folders, circles.

``python -m tests.benchmarks.import_graph`` measures this checkout; with names of top-level packages it measures those.
Imports inside functions count, imports for the type checker do not.
"""

from __future__ import annotations

import argparse
from collections import Counter

import grimp
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

PACKAGES = ("unlearn_bench",)


def folder(module: str, depth: int) -> str:
    """Return the folder that a module lies in, at most ``depth`` names deep."""
    return ".".join(module.split(".")[:-1][:depth])


def circles(modules: list[str], arrows: list[tuple[str, str]]) -> list[list[str]]:
    """Return the groups of modules that import one another in a circle."""
    index = {module: number for number, module in enumerate(modules)}
    matrix = csr_array(
        (np.ones(len(arrows)), ([index[a] for a, _ in arrows], [index[b] for _, b in arrows])),
        shape=(len(modules), len(modules)),
    )
    _, labels = connected_components(matrix, directed=True, connection="strong")
    groups: dict[int, list[str]] = {}
    for module, label in zip(modules, labels, strict=True):
        groups.setdefault(int(label), []).append(module)
    return [group for group in groups.values() if len(group) > 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", default=PACKAGES)
    parser.add_argument("--depth", type=int, default=3, help="how many names deep a folder counts as one")
    given = parser.parse_args()
    graph = grimp.build_graph(*given.packages, exclude_type_checking_imports=True, cache_dir=None)
    modules = sorted(graph.modules)
    arrows = [(a, b) for a in modules for b in sorted(graph.find_modules_directly_imported_by(a))]
    sizes = Counter(folder(module, given.depth) or module for module in modules)
    between = Counter((folder(a, given.depth) or a, folder(b, given.depth) or b) for a, b in arrows)
    between = Counter({pair: count for pair, count in between.items() if pair[0] != pair[1]})
    for name, size in sorted(sizes.items()):
        targets = ", ".join(b.removeprefix("unlearn_bench.") for a, b in sorted(between) if a == name)
        print(f"{name.removeprefix('unlearn_bench.'):<20}{size:>4} modules -> {targets or 'nothing'}")
    found = {
        "modules": circles(modules, arrows),
        "folders": circles(sorted(sizes), list(between)),
    }
    print(f"{len(modules)} modules in {len(sizes)} folders, largest {max(sizes.values())}")
    print(f"{len(arrows)} imports, {len(between)} arrows between folders")
    for what, groups in found.items():
        print(f"circles of {what}: {len(groups)}" + "".join(f"\n  {' '.join(group)}" for group in groups))


if __name__ == "__main__":
    main()
