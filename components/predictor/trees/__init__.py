"""Tree ensembles of a graph, computed by a compiled kernel. ONNX Runtime computes the rest of the graph."""
