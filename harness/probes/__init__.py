"""Probes of the weights of finished models."""
