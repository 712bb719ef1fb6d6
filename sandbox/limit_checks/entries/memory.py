"""An entry that takes more memory than it may have. Run by ``sandbox.limit_checks``."""


def unlearn(model, retain, *, size=0):
    kept = bytearray(size)
    for place in range(0, size, 4096):
        kept[place] = 1
    print("took", len(kept), flush=True)
