"""Tree ensembles of a graph, evaluated by a kernel of our own; ONNX Runtime keeps what is before and after them."""
