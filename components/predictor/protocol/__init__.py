"""KServe's V1 and V2 protocols and their extensions, as pure functions."""
