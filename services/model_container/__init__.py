"""The model container: one replica of one model version behind a gRPC server."""
