"""Measures: what a model finds, how sure that is, and how its space is shaped."""
