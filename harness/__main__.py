"""``python -m harness`` is ``bench``."""

from unlearn_bench.harness.cli import main

main()
