"""`pilot-agent session`: do for the agent what needs this user's desktop."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def main(parsed: argparse.Namespace) -> int:
    """Run the session helper until it is stopped."""
    # The journal, or the session's log, dates its lines.
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    from companion_agent.session_helper import runtime  # noqa: PLC0415

    return runtime.run([parsed.folder] if parsed.folder else None)
