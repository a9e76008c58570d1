"""`pilot-agent migrate`: a configuration from one of Pilot's first version."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from companion_agent.cli.exit_codes import BAD_INPUT, NOT_WELL
from companion_agent.cli.setup import prompts

if TYPE_CHECKING:
    import argparse


def main(parsed: argparse.Namespace) -> int:
    """Migrate, or put back what was there before."""
    if sys.platform == "linux":
        return _migrate(parsed)
    else:  # noqa: RET505  (mypy leaves out only what is inside)
        print(
            "pilot-agent: migrate is for Linux alone: v1's agent ran nowhere else as a service; "
            "`pilot-agent setup` sets this computer up",
            file=sys.stderr,
        )
        return NOT_WELL


def _migrate(parsed: argparse.Namespace) -> int:
    if not parsed.undo and not parsed.file and not parsed.old_service:
        print("pilot-agent: name v1's file, --old-service or --undo; see --help", file=sys.stderr)
        return BAD_INPUT
    # It asks systemd and the system bus, whose library is nowhere but on Linux.
    from companion_agent.cli.migrate import run  # noqa: PLC0415

    options = run.SetupOptions(
        old=parsed.file,
        output=parsed.output,
        device=parsed.device,
        old_service=parsed.old_service,
        dry_run=parsed.dry_run,
        yes=parsed.yes,
    )
    asker = prompts.Asker(interactive=not parsed.yes and prompts.is_interactive())
    return run.undo(options, asker) if parsed.undo else run.migrate(options, asker)
