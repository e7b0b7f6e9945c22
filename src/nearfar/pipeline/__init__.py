"""Walks the stages from a source to an index, and skips what is already done."""
