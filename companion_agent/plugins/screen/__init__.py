"""The screen: whether it is on, and whether it stays so while nothing is touched."""
