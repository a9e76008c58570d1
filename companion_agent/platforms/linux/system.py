"""The few calls that no file replaces."""

from __future__ import annotations

import os
import sys
import time

from companion_agent.platforms.base import DiskUsage

if sys.platform == "linux":
    PAGE = os.sysconf("SC_PAGESIZE")
    TICKS = os.sysconf("SC_CLK_TCK")
    ARCH = os.uname().machine

    def suspended_time() -> float | None:
        """Return the seconds that the machine has slept since its start, see clock_gettime(2)."""
        slept = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
        # Read one after the other, the two differ by some hundred nanoseconds.
        return max(slept, 0.0)

    def disk_usage(path: str) -> DiskUsage:
        """Return the space of the file system that a path lies on, see statvfs(3).

        Raises:
            OSError: It has gone, or its answer is an error.
        """
        space = os.statvfs(path)
        return DiskUsage(
            total=space.f_blocks * space.f_frsize,
            # Servers with quotas may say that more is free than there is.
            used=max(space.f_blocks - space.f_bfree, 0) * space.f_frsize,
            free=space.f_bavail * space.f_frsize,
        )

else:
    # Elsewhere a Linux is only read from a folder, by tests.
    PAGE = 4096
    TICKS = 100
    ARCH = ""

    def suspended_time() -> float | None:
        """Know nothing."""
        return None

    def disk_usage(path: str) -> DiskUsage:
        """Know nothing.

        Raises:
            OSError: Always.
        """
        raise OSError(path)
