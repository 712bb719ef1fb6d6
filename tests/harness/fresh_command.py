"""The command as the product starts it, in a Python of its own, with every time believed as by ``unwatched_clock``."""

from __future__ import annotations

from tests.harness.conftest import believe_every_time
from unlearn_bench.harness.cli import main

if __name__ == "__main__":
    believe_every_time()
    main()
