"""Which executor the running command was given; Ray is imported and connected only where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from unlearn_bench.harness.executors.ray.cluster import Cluster

OPTION = "unlearn_bench.harness.executors.choice"
"""Key of click's shared ``meta``: the address of the cluster, empty for none, or the cluster once it is connected."""


def current() -> Cluster | None:
    """The cluster of the running command, connected at the first use; ``None`` with the executor ``local``.

    Raises:
        BenchError: Ray is not installed, nobody answers at the address.
    """
    context = click.get_current_context(silent=True)
    if context is None or OPTION not in context.meta:
        return None
    from unlearn_bench.harness.executors.ray.cluster import Cluster

    chosen = context.meta[OPTION]
    if isinstance(chosen, Cluster):
        return chosen
    context.meta[OPTION] = cluster = Cluster(chosen)
    context.find_root().call_on_close(cluster.close)
    return cluster
