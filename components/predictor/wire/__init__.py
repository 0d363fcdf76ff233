"""What every part of the server speaks: ASGI types, errors, JSON messages, tensors and values."""
