"""`pilot-agent session`: do for the agent what needs this user's desktop."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

if sys.platform == "win32":

    def main(parsed: argparse.Namespace) -> int:
        """Run the session helper until it is stopped, and keep it running."""
        from companion_agent.session_helper import windows_start  # noqa: PLC0415

        return windows_start.main(once=parsed.once)

else:

    def main(parsed: argparse.Namespace) -> int:
        """Run the session helper until it is stopped."""
        # The journal, or the session's log, dates its lines.
        logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
        from companion_agent.session_helper import runtime  # noqa: PLC0415

        return runtime.run(parsed.folder)
