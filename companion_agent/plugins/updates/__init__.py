"""Updates of the operating system and its programs that wait to be installed."""
