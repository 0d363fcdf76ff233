"""Outcomes, metrics and confidence intervals."""
