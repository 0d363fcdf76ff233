"""Kubeflow Pipelines: connect, compile, upload, submit, follow, schedule."""
