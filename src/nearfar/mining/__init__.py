"""Hardens: wrong answers that a model takes for right ones, as judgments to learn from."""
