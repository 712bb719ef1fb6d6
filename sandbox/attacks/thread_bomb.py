"""Starts threads until no more can be started.

expect: crash
deadline: 30
reason: can't start new thread
"""

import threading
import time


def unlearn(model, retain):
    for _ in range(100_000):
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    print("BREACH: 100,000 threads")
