"""The executor ``ray``: units and trainings run on the nodes of a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_bench.harness.executors import Executor, RunOptions


def connect(options: RunOptions) -> Executor:
    """Connect to the cluster.

    Raises:
        BenchError: Ray is not installed, or no cluster answers at the address.
    """
    from unlearn_bench.harness.executors.ray.cluster import Cluster  # nodes import this package without it

    return Cluster(options)
