"""Raises an exception with 50 MB of text full of terminal escapes, HTML and text that changes its direction.

expect: crash
reason: RuntimeError: A<script>
log: </script>
"""

PIECE = "A<script>alert(1)</script>\x1b[2J\x1b]0;owned\x07\x1b[31m\x9b1m\u202e\u2066\x00\x08\r\nrank: 1\x7f\ud800"


def unlearn(model, retain):
    raise RuntimeError(PIECE * (50_000_000 // len(PIECE)))
