"""Talks to machines: embeddings, reranking and search over HTTP, in the forms their clients speak."""
