"""Keeps documents with their vectors: in memory, in LanceDB, in PostgreSQL; one contract."""
