"""Install a wheel into an environment of its own and use it far from the repository.

``python -m tests.ci.smoke WHEEL``
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
COMMANDS = (
    ("--version",),
    ("init", "my_method.py"),
    ("check", "my_method.py"),
    ("tracks",),
    ("leaderboard",),
    ("submit", "my_method.py", "--seeds", "1", "--sandbox", "process"),
)


def main(wheel: Path) -> None:
    """Install the wheel and run the commands; the first that fails ends it."""
    with tempfile.TemporaryDirectory(prefix="smoke-") as name:
        folder, python = Path(name), Path(name) / "venv" / "bin" / "python"
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment |= {"BENCH_HOME": str(folder / "home"), "BENCH_LOCKS": str(folder / "locks")}
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "-c", CONSTRAINTS, wheel.resolve()]
        subprocess.run(install, cwd=folder, check=True)
        for words in COMMANDS:
            start = time.monotonic()
            subprocess.run([python.with_name("bench"), *words], cwd=folder, env=environment, check=True)
            print(f"bench {' '.join(words)}: {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
