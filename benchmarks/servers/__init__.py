"""What benchmarks/serving.py compares: four servers of the same models, and the models."""
