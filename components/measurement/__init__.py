"""Load generator, server under test, CPU limit, timers and capacity search."""
