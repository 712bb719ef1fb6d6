"""Units: one run of one entry on one original model, of every kind, with its record."""
