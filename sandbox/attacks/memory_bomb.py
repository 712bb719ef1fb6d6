"""Takes all the memory that it can get.

expect: oom
deadline: 60
memory: 700
reason: 700 MiB
"""


def unlearn(model, retain):
    taken = []
    while True:
        taken.append(bytearray(b"x") * 2**24)
