"""Exported models in the form that other servers take: Triton, TorchServe, TensorFlow Serving."""
