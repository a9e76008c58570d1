"""`pilot-agent settings`: what Home Assistant has set of this host's configuration."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from companion_agent.cli.exit_codes import BAD_INPUT, NOT_WELL, OK
from companion_agent.cli.loading import load_config
from companion_agent.config.overlay import Overlay, OverlayError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from companion_agent.config import Config


def main(parsed: argparse.Namespace) -> int:
    """Show what was set, or take it back with `settings reset`."""
    config = load_config(parsed.config, needs_broker=False)
    if config is None:
        return BAD_INPUT
    try:
        if parsed.action == "reset":
            return _reset(config, parsed.key, everything=parsed.all)
        return _show(config)
    except OverlayError as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL


def describe(config: Config, overlay: Overlay) -> list[str]:
    """Say what was set, one line each, and why it does not count where it does not."""
    lines = []
    for key, value in overlay.values.items():
        text = f"{key}: {json.dumps(value, ensure_ascii=False)}"
        wrong = [one.problem for one in config.overlay_mistakes if one.key.startswith(key)]
        if wrong:
            text += f" (of no effect: {wrong[0]})"
        elif fixed := config.origins.fixed(tuple(key.split("."))):
            text += f" (of no effect: fixed by {fixed})"
        lines.append(text)
    return lines


def _show(config: Config) -> int:
    overlay = Overlay.read(config.state_dir)
    for line in describe(config, overlay):
        print(line)
    if not overlay.values:
        print("nothing is set from Home Assistant")
    return OK


def _reset(config: Config, keys: Sequence[str], *, everything: bool) -> int:
    if everything:
        # What cannot be read is replaced as well.
        Overlay().write(config.state_dir)
        print("nothing is set from Home Assistant any more; pilot-agent reload applies it")
        return OK
    overlay = Overlay.read(config.state_dir)
    if unknown := [key for key in keys if key not in overlay.values]:
        known = ", ".join(overlay.values) or "none"
        print(
            f"pilot-agent: {unknown[0]} is not set from Home Assistant; set are {known}",
            file=sys.stderr,
        )
        return BAD_INPUT
    overlay.changed(dict.fromkeys(keys)).write(config.state_dir)
    print(f"{', '.join(keys)}: not set from Home Assistant any more; pilot-agent reload applies it")
    return OK
