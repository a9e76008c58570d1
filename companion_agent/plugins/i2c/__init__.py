"""Sensors on an I²C bus."""
