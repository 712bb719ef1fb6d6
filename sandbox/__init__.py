"""Running one call of ``unlearn`` somewhere else, and getting its weights back safely."""
