"""Combinations of keys that the owner has named, told to Home Assistant when they are pressed."""
