"""nearfar: learn embeddings from pairs, prove them, and search with them."""

__version__ = "0.1.0"
