"""How a release ends, as its supervisor understands it."""

from __future__ import annotations

AGAIN = 75
"""A release below a supervisor ends so to have the base started anew; EX_TEMPFAIL."""
