"""`pilot-agent setup`: find the broker, write the configuration, start the service."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from companion_agent.cli.exit_codes import BAD_INPUT, NOT_WELL
from companion_agent.cli.setup import host, prompts, run

if TYPE_CHECKING:
    import argparse


def main(parsed: argparse.Namespace) -> int:
    """Set this host up, or remove the service."""
    if parsed.purge is not None and not parsed.remove:
        print("pilot-agent: --purge and --no-purge belong to --remove", file=sys.stderr)
        return BAD_INPUT
    system = host.current(check=parsed.check, service=not parsed.no_service)
    if system is None:
        print(
            "pilot-agent: setup knows Linux and Windows only; see docs/deployment.md",
            file=sys.stderr,
        )
        return NOT_WELL
    quiet = parsed.yes or parsed.check
    asker = prompts.Asker(interactive=not quiet and prompts.is_interactive())
    if parsed.remove:
        return run.remove(asker, system, purge=parsed.purge, check=parsed.check)
    options = run.SetupOptions(
        config=parsed.config,
        broker=parsed.broker or "",
        username=parsed.username or "",
        password_file=parsed.password_file or "",
        tls=parsed.tls,
        ca_cert=parsed.ca_cert,
        client_cert=parsed.client_cert,
        client_key=parsed.client_key,
        name=parsed.name or "",
        settings=parsed.settings,
        fleet_key_file=parsed.fleet_key_file,
        check=parsed.check,
        untested=parsed.untested,
        service=not parsed.no_service,
        pair=parsed.pair,
    )
    return run.setup(options, asker, system)
