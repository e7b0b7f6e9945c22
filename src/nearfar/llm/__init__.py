"""Asking a language model: wire formats, tries, speed, money."""
