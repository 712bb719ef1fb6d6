"""An entry that does not end. Run by ``sandbox.limit_checks``."""

import time


def unlearn(model, retain):
    time.sleep(600)
