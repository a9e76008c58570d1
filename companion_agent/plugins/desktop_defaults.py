"""What counts of desktops where the configuration says nothing.

Beside `desktop_settings.py`, because that imports what checks a configuration, and costs a session
helper a third of its start.
"""

IDLE_AFTER = 300.0
"""Seconds without a key or a movement after which a computer counts as not in use: long enough to
read a page, and short enough for a light that goes off."""
