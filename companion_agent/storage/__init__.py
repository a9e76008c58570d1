"""The one way to write files: atomically, with their permissions."""
