"""Small students of large models: lessons, measurement, and the gate."""
