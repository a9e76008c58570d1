"""Uninterruptible power supplies, as Network UPS Tools know them."""
