"""How the processor is set: power profile, governor, frequencies and boost."""
