"""The exit codes of the commands, which a shell script can tell apart."""

from __future__ import annotations

OK = 0
NOT_WELL = 1
BAD_INPUT = 2
