"""The models that a process serves, and where they come from."""
