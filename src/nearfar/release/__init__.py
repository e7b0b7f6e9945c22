"""Decides what may be released, and keeps what was."""
