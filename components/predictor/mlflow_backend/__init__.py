"""The MLflow backend: models without an ONNX graph, each in its own process."""
