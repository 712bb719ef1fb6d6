"""Experiment trackers that take a row of a board as one of their runs."""
