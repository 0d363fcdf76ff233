"""Pipelines that make models."""
