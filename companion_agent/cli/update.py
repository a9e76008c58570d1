"""`pilot-agent update`: what a person sees of updates on the host."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from companion_agent.cli.exit_codes import BAD_INPUT
from companion_agent.cli.loading import load_config
from companion_agent.ipc.client import ChannelError, LocalClient
from companion_agent.updates.store import probation

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

# An answer of a file share or an index, and the download.
_PATIENCE = 600.0
# The farewell of the old version, the start of the new one, and what it needs beyond its trial.
_RESTART = 30.0


def main(parsed: argparse.Namespace) -> int:
    """Install a version, go back to the one before, or only show what there is."""
    config = load_config(parsed.config, needs_broker=False)
    if config is None:
        return BAD_INPUT
    if parsed.check:
        return show(config.state_dir)
    if parsed.back:
        return back(config.state_dir, config.update.trial)
    return install(config.state_dir, parsed.to or "", config.update.trial)


def show(folder: Path) -> int:
    """Show which version runs and which is the newest."""
    try:
        said = _ask(folder, {"do": "check"})
        if said.get("busy"):
            said = _follow_check(folder, said)
    except ChannelError as error:
        return _fail(error)
    print(f"running    {said['running']}")
    print(f"installed  {said['base']}")
    print(f"newest     {_newest(said)}")
    print(f"from       {said['from']}")
    if failed := said.get("failed"):
        print(f"left again {failed['version']}: {failed['reason']}")
    if cannot := said.get("cannot"):
        print(f"It cannot be updated by itself: {cannot}.")
    return 0


def install(folder: Path, version: str, trial: float) -> int:
    """Install a version, and wait until it is online or was left again.

    Args:
        folder: The state folder.
        version: Which; the newest when empty.
        trial: Seconds that it has to come online.
    """
    try:
        client = LocalClient(folder)
        client.ask({"ask": "update", "do": "install", "version": version})
        wanted = _follow(client)
    except ChannelError as error:
        return _fail(error)
    return _wait(folder, wanted, trial) if wanted else 1


def back(folder: Path, trial: float) -> int:
    """Go back to the version before."""
    try:
        said = _ask(folder, {"do": "back"})
    except ChannelError as error:
        return _fail(error)
    return _wait(folder, str(said["to"]), trial)


def _newest(said: Mapping[str, Any]) -> str:
    if trouble := said.get("trouble"):
        return f"not known: {trouble}"
    if found := said.get("newest"):
        return str(found["version"])
    if said["source"] == "homeassistant":
        return "what Home Assistant has, which shows and installs it"
    return "none"


def _ask(folder: Path, message: Mapping[str, Any]) -> dict[str, Any]:
    client = LocalClient(folder)
    try:
        return client.ask({"ask": "update", **message})
    finally:
        client.close()


def _follow_check(folder: Path, said: dict[str, Any]) -> dict[str, Any]:
    until = time.monotonic() + _PATIENCE
    while said.get("busy") and time.monotonic() < until:
        time.sleep(0.2)
        said = _ask(folder, {"do": "show"})
    return said


def _follow(client: LocalClient) -> str:
    """Say how it goes; return the version that the agent starts again with."""
    until = time.monotonic() + _PATIENCE
    try:
        while (left := until - time.monotonic()) > 0:
            message = client.receive(left) or {}
            if failed := message.get("failed"):
                print(f"pilot-agent: not installed: {failed['reason']}", file=sys.stderr)
                return ""
            if progress := message.get("progress"):
                _draw(progress)
                if progress["step"] == "restarting":
                    return str(progress["version"])
    finally:
        client.close()
    print("pilot-agent: the agent does not say how it goes", file=sys.stderr)
    return ""


def _draw(progress: Mapping[str, Any]) -> None:
    if sys.stdout.isatty():
        print(f"\r\x1b[K{progress['step']} {progress['percent']} %", end="", flush=True)
        if progress["step"] == "restarting":
            print()


def _wait(folder: Path, wanted: str, trial: float) -> int:
    until = time.monotonic() + trial + probation(trial) + _RESTART
    while time.monotonic() < until:
        time.sleep(0.3)
        try:
            said = _ask(folder, {"do": "show"})
        except ChannelError:
            continue  # it is just starting
        failed = said.get("failed") or {}
        if said["running"] == wanted and not said.get("trial"):
            print(f"Version {wanted} runs.")
            return 0
        if failed.get("version") == wanted and said["running"] != wanted:
            print(
                f"pilot-agent: version {wanted} was left again: {failed['reason']}; "
                f"{said['running']} runs",
                file=sys.stderr,
            )
            return 1
    print(f"pilot-agent: nothing is heard of version {wanted}", file=sys.stderr)
    return 1


def _fail(error: ChannelError) -> int:
    print(f"pilot-agent: {error.args[0]}", file=sys.stderr)
    return 1
