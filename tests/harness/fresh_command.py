"""The command as the product starts it, in a Python of its own, with times believed as in every test."""

from __future__ import annotations

from tests.harness.conftest import believe_stored_times
from unlearn_bench.harness.cli import main

if __name__ == "__main__":
    believe_stored_times()
    main()
