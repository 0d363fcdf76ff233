"""Models made portable, small and fast."""
