"""The name ``sandbox`` that entries import their toolkit from, in a process of the host.

Inside a sandbox the stage's ``lib`` folder provides it. On the host this package is ``unlearn_bench.sandbox``, and
``sandbox`` may be anything, or nothing; shipped methods that run in worker processes need it all the same.
"""

from __future__ import annotations

import sys
from types import ModuleType


def provide() -> None:
    """Let code in this process write ``from sandbox.toolkit import …`` and get this package's toolkit."""
    from unlearn_bench.sandbox import toolkit

    package = ModuleType("sandbox")
    package.__path__ = []  # nothing else can be imported from it
    package.toolkit = toolkit  # type: ignore[attr-defined]
    sys.modules["sandbox"] = package
    sys.modules["sandbox.toolkit"] = toolkit
