"""Finds: an exact index on disk, and the search through it."""
