"""Preprocessing: fitted once, stored in the model."""
