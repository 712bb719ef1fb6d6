"""Workflows: what each command does, as functions with typed arguments and results."""
