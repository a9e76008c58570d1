"""Sensors on a simulated I²C bus."""
