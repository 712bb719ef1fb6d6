"""Never comes to an end.

expect: timeout
deadline: 3
"""


def unlearn(model, retain):
    while True:
        pass
