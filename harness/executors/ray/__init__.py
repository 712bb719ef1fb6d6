"""The executor for Ray clusters. Nothing outside of this package imports Ray."""
