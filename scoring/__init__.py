"""Metrics, attacks, groups, ranks and uncertainty: arrays in, numbers out."""
