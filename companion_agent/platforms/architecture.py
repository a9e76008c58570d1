"""Which programs this computer's processor runs."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    from companion_agent.winapi import system

    def architecture() -> str:
        """Return it as the system names it, "AMD64".

        `platform.machine()` asks WMI from Python 3.12 on, which is slow and not there at boot.
        """
        return system.architecture()

else:

    def architecture() -> str:
        """Return it as the kernel names it, "x86_64"."""
        return os.uname().machine
