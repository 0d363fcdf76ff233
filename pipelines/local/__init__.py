"""Runs on this machine: processes, containers, services, results."""
