"""Closes every file descriptor, the channel among them.

expect: crash
"""

import os


def unlearn(model, retain):
    os.closerange(0, 65536)
    return model
