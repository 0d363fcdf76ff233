"""Preprocessing that is fitted once and travels inside the model."""
