"""Stops itself and its parent with SIGSTOP, so that nobody is left to answer.

expect: timeout
deadline: 3
"""

import os
import signal


def unlearn(model, retain):
    os.kill(os.getppid(), signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
    return model
