"""Pipelines that train models."""
