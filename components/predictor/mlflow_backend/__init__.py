"""Models without an ONNX form, each in a process of its own."""
