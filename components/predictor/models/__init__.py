"""Models of a process: the served ones, their loading and their sources."""
