"""One module per verb of ``bench``; each has a ``command``. Heavy imports stay inside the functions."""
