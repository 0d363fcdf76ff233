"""Graphs with fewer bits: candidates, what each is measured by, and the gate."""
