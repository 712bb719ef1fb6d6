"""The container image that entries run in, and its build."""
