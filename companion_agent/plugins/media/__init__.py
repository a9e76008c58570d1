"""Media players: what the active one plays, and its controls."""
