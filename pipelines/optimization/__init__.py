"""Pipelines that make models smaller, faster and cheaper to serve."""
