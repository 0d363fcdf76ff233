"""Cluster settings by name."""
