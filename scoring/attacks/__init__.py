"""The panel: one file per attack, found by folder; see ``scoring.panel``."""
