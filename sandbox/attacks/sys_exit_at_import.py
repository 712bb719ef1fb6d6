"""Leaves while it is being imported.

expect: crash
reason: SystemExit: 3
"""

import sys

sys.exit(3)


def unlearn(model, retain):
    return model
