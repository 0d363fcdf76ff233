"""Kubernetes manifests of what serves models."""
