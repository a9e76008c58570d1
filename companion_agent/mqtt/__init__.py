"""The agent's connection to the broker, and how the host appears on it."""
