"""The published JSON Schema of a result, from its dataclasses.

``python -m unlearn_bench.harness.pulls.schema`` writes ``schemas/pull_request.json`` again after they have changed.
"""

from __future__ import annotations

import json
from pathlib import Path

from unlearn_bench.harness.pulls import result
from unlearn_bench.harness.support.files import write_file

SCHEMA = Path(__file__).parent / "schemas" / "pull_request.json"


def text() -> str:
    """Return the schema as it is published."""
    return json.dumps(result.schema(), indent=1) + "\n"


if __name__ == "__main__":
    write_file(SCHEMA, text().encode())
