"""Executors: where the units of one command run. One file each, found by name."""
