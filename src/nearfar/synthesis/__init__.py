"""Writes: queries for passages that nobody has asked about yet."""
