"""Does its work while it is being imported, where a careless clock would not run yet.

expect: timeout
deadline: 3
"""

import time

time.sleep(30)


def unlearn(model, retain):
    return model
