"""Everything that the executor needs of Ray's private interfaces.

Ray has no public way to tell a cluster from the next one at its address without joining it, which takes minutes where
nothing answers, nor to send its messages elsewhere than to standard output, which is for scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def cluster_identity(address: str) -> Any:
    """Return what tells a cluster from the next one at its address.

    Raises:
        ray.exceptions.RayError: nothing answers there, or it does not let this command in.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    return GcsClient(address=address).cluster_id


def redirect_messages(say: Callable[[str], None]) -> None:
    """Pass Ray's messages about lost nodes to ``say`` instead of printing them."""
    from ray._private import worker

    def redirected(data: Any, *options: Any, **more: Any) -> None:
        say("\n".join(data["lines"]))

    worker.print_to_stdstream = redirected
