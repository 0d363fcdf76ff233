"""Types shared by all parts of the server: ASGI, errors, JSON messages, tensors and values."""
