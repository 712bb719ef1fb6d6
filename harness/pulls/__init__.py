"""Pull requests: reading, scoring, publishing and commenting on what they add."""
