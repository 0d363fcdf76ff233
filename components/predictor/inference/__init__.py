"""Models in memory, batching, and the way from columns to inputs of a graph."""
