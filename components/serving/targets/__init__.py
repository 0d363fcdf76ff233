"""Targets of a deployment: this machine, a cluster, a GitOps folder."""
