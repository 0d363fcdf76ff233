"""HTTP: the ASGI application, its routes, limits of connections, and what browsers may ask."""
