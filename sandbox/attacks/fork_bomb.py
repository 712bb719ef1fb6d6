"""Forks without end, in every child too.

expect: timeout
deadline: 4
"""

import os


def unlearn(model, retain):
    while True:
        try:
            os.fork()
        except OSError:
            continue
