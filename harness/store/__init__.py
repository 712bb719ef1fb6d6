"""The content-addressed store of everything that is computed, and files at a URL."""
