"""The agent as a service of the operating system: its unit, its rights, and a sign of life."""
