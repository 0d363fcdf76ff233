"""Metrics, reports, gates and model cards."""
