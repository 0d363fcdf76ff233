"""Models in memory, batching, and conversion of columns to graph inputs."""
