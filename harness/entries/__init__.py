"""A submission read as data, never imported."""
