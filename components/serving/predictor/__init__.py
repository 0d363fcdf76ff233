"""Old address of the model server, now `stagewright.components.predictor`. Kept until 0.2 for scripts."""
