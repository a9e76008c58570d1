"""`pilot-agent tuning`: what Home Assistant has changed of this host's sensors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from companion_agent.cli.exit_codes import BAD_INPUT, NOT_WELL, OK
from companion_agent.cli.loading import load_config
from companion_agent.plugins.i2c.overrides import Overrides, OverridesError, peek

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path


def main(parsed: argparse.Namespace) -> int:
    """Show the changes, or take them back with `tuning reset`."""
    config = load_config(parsed.config, needs_broker=False)
    if config is None:
        return BAD_INPUT
    try:
        if parsed.action == "reset":
            return _reset(config.state_dir, parsed.sensor, everything=parsed.all)
        return _show(config.state_dir)
    except OverridesError as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL


def _show(folder: Path) -> int:
    changes = peek(folder)
    for sensor, change in changes.items():
        print(f"{sensor}: {change}")
    if not changes:
        print("all sensors are as the configuration says")
    return OK


def _reset(folder: Path, sensors: Sequence[str], *, everything: bool) -> int:
    changes = peek(folder)
    chosen = list(changes) if everything else sensors
    if unknown := [sensor for sensor in chosen if sensor not in changes]:
        changed = ", ".join(changes) or "none"
        print(
            f"pilot-agent: {unknown[0]} is as the configuration says; changed are {changed}",
            file=sys.stderr,
        )
        return BAD_INPUT
    overrides = Overrides(folder)
    for sensor in chosen:
        overrides.remove(sensor)
        print(f"{sensor} is as the configuration says again, at its next reading")
    return OK
