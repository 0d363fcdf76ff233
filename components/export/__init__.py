"""Models in portable forms: ONNX graphs, imported models, and what other servers take."""
