"""Metrics, one subject per file; ``scoring.metric_table`` finds them by this folder."""
