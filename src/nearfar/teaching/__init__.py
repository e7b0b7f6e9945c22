"""Another model says how well documents answer queries, for the encoder to learn from."""
