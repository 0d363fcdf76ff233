"""Settings of a served model: candidates, their measurement, and the proof."""
