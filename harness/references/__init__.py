"""Reference models: which there are, where they are stored, how they are published."""
