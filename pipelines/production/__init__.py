"""Pipelines that serve models."""
