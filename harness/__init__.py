"""The benchmark: tracks, references, entries, units, results, reports and the commands for them."""
