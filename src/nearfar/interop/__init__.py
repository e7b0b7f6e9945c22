"""Interop: nearfar's models and data in other people's tools, and its gate in their tests."""
