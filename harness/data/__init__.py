"""Data sets, their labels, their splits, and near-duplicates among their images."""
