"""The model server: KServe's V1 and V2 protocols over ONNX Runtime."""
