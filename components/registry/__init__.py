"""Versions, aliases and lineage of models."""
