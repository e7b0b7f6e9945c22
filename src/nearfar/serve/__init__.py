"""Talks to machines: embeddings, reranking and search over HTTP, as their clients speak."""
