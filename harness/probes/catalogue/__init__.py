"""The panel's probes: one file each, found by folder; see ``harness.probes.panel``."""
