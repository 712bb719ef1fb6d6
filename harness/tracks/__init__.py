"""Tracks: the specification, parsing it from TOML, sealed tracks, and the catalogue of those that ship."""
