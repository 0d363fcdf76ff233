"""A load generator for HTTP servers."""
