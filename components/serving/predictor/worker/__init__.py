"""Old address of `stagewright.components.predictor.mlflow_backend`, kept until 0.2."""
