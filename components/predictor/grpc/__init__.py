"""V2 over gRPC: another envelope around the same application."""
