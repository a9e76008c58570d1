"""Who may command this host, and how it proves that what it says is its own: `docs/protocol.md`."""
