"""Whether the session that is in use is being used: keys and movements, never which."""
