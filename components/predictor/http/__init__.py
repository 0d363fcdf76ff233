"""HTTP: the ASGI application, its routes, connection limits, and protection against web pages."""
