"""Readings that could not be delivered: kept on disk, and delivered later in order."""
