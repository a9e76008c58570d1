"""`pilot-agent setup`: from an installed program to a host that Home Assistant shows."""
