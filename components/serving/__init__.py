"""Models published and served over KServe's protocols."""
