"""Tracks: the specification, parsing it from TOML, sealed tracks, and the catalogue of those that ship."""

DEFAULT_TRACK = "digits-resnet18"
"""Name of the track that commands and functions use where none is named."""
