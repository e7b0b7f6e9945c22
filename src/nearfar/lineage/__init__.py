"""Remembers: what made a model, who holds a text; and forgets it everywhere when asked."""
