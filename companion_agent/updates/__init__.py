"""New versions of the agent: found, checked, tried, and left again when they do not work."""
