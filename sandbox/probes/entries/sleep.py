"""An entry that does not end. Run by ``sandbox.probes``."""

import time


def unlearn(model, retain):
    time.sleep(600)
