"""Notifications: what a desktop shows its user, and what the user answers."""
