"""Where things lie: the checkout, and the folder that downloads are kept in."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""

REQUIREMENTS = ROOT / "requirements"
"""Locked requirement files, one for each environment."""


def cache_dir() -> Path:
    """Return the folder for toolchains, environments and other downloads.

    ``PILOT_CACHE`` names it; otherwise it is ``pilot`` in the user's cache
    folder. The folder is made when it is missing.
    """
    named = os.environ.get("PILOT_CACHE")
    if named:
        folder = Path(named).expanduser().absolute()
    else:
        base = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(base) if base else Path.home() / ".cache") / "pilot"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
