"""Server processes: workers and their supervisor."""
