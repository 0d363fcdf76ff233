"""Tools for this repository and for installations: docs, examples, set-up of the object store."""
