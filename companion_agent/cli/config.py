"""`pilot-agent config`: check or show the configuration, or say what it can hold."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from companion_agent.cli.exit_codes import BAD_INPUT, NOT_WELL, OK
from companion_agent.cli.loading import load_config
from companion_agent.config.reference import json_schema
from companion_agent.config.show import show
from companion_agent.plugins.i2c.overrides import OverridesError, peek

if TYPE_CHECKING:
    import argparse

    from companion_agent.config import Config


def main(parsed: argparse.Namespace) -> int:
    """Run `config check`, `config show` or `config schema`."""
    if parsed.action is None:
        parsed.usage(sys.stderr)
        return BAD_INPUT
    if parsed.action == "schema":
        print(json.dumps(json_schema(), indent=2))
        return OK
    config = load_config(parsed.config)
    if config is None:
        return BAD_INPUT
    if parsed.action == "check":
        for mistake in config.overlay_mistakes:
            print(mistake, file=sys.stderr)
        print("ok")
        return OK
    return _show(config)


def _show(config: Config) -> int:
    print(show(config), end="")
    try:
        changes = peek(config.state_dir)
    except OverridesError as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL
    if changes:
        print("# Changed from Home Assistant since, and in force (see pilot-agent tuning):")
    for sensor, change in changes.items():
        print(f"#   {sensor}: {change}")
    return OK
