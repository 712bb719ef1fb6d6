"""Ends the process behind Python's back, so that no error is reported.

expect: crash
reason: exit code 4
"""

import os


def unlearn(model, retain):
    os._exit(4)
