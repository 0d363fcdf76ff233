"""Kubernetes manifests for model serving."""
