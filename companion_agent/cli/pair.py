"""`pilot-agent pair`: what a person sees of pairing on the host."""

from __future__ import annotations

from datetime import datetime
import io
import json
import math
import os
import sys
from typing import TYPE_CHECKING

from companion_agent.cli.exit_codes import BAD_INPUT
from companion_agent.cli.loading import load_config
from companion_agent.cli.pairing_session import Terminal
from companion_agent.ipc.client import ChannelError, LocalClient, NotRunningError
from companion_agent.protocol.pairing import Status, draw_code
from companion_agent.security.key_store import Controller, StoreError, TrustStore

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path

# Opens Pilot's dialog in the user's Home Assistant, by way of the page that knows where that is.
# The code stands in the fragment, which no browser sends to a server (RFC 3986, section 3.5).
_LINK = "https://my.home-assistant.io/redirect/config_flow_start/?domain=pilot#code={code}"

# White on black, whatever the terminal's colours are: many cameras do not read the reverse.
_COLORS, _NO_COLORS = "\x1b[38;5;231;48;5;16m", "\x1b[0m"

_ENDS = {
    Status.EXPIRED: "The code has expired. Call `pilot-agent pair` for a new one.",
    Status.BURNED: (
        "Five wrong tries: the code is worth nothing any more. Call `pilot-agent pair` for a new "
        "one; if no wrong code was typed here, another client of the broker sent them."
    ),
}


def main(parsed: argparse.Namespace) -> int:
    """Show a code, or with `list` and `revoke` what came of earlier ones."""
    config = load_config(parsed.config, needs_broker=parsed.action is None)
    if config is None:
        return BAD_INPUT
    if parsed.action == "list":
        return show(config.state_dir)
    if parsed.action == "revoke":
        return revoke(config.state_dir, parsed.controller, all_controllers=parsed.all)
    return pair(config.state_dir, qr=not parsed.no_qr, as_json=parsed.json)


def pair(folder: Path, *, qr: bool, as_json: bool = False) -> int:
    """Show a code until a Home Assistant has used it, or until it is worth nothing.

    Args:
        folder: The state folder.
        qr: Whether to draw the code for cameras too.
        as_json: Whether a program shows it: a line `{"code", "link", "seconds", "online"}`, and
            `{"paired": NAME}` once it was used.

    Returns:
        The exit code.
    """
    try:
        client = LocalClient(folder)
        begun = client.ask({"ask": "pair"})
    except ChannelError as error:
        return _fail(error)
    code = draw_code()
    terminal = Terminal(client, code, str(begun["host"]))
    online = bool(begun.get("online"))
    if as_json:
        link = _LINK.format(code=code)
        _say(code=code, link=link, seconds=int(terminal.remaining), online=online)
    else:
        _introduce(code, terminal.remaining, qr=qr)
        if not online:
            print("The agent is not connected to its broker now; pairing works once it is.\n")
    try:
        status = _wait(terminal)
    except ChannelError as error:
        _clear()
        return _fail(error)
    except KeyboardInterrupt:
        terminal.close("cancelled")
        _clear()
        raise
    terminal.close(status.value)
    _clear()
    if terminal.paired:
        if as_json:
            _say(paired=terminal.paired.name)
        else:
            print(f'Paired with Home Assistant "{terminal.paired.name}".')
        return 0
    print(_ENDS[status], file=sys.stderr)
    return 1


def _say(**said: object) -> None:
    print(json.dumps(said), flush=True)


def show(folder: Path) -> int:
    """Show which controllers this host is paired with."""
    try:
        controllers, fleet = _known(folder)
    except (ChannelError, StoreError) as error:
        return _fail(error)
    width = max((len(known.name) for known in controllers), default=0)
    for known in controllers:
        since = datetime.fromtimestamp(known.since).astimezone()
        print(f"{known.name:{width}}  {known.id}  paired {since:%Y-%m-%d %H:%M}")
    if fleet:
        print("and every Home Assistant that has the fleet key")
    elif not controllers:
        print("Not paired: this computer reports and accepts no commands.")
    return 0


def revoke(folder: Path, wanted: Iterable[str], *, all_controllers: bool) -> int:
    """Forget controllers.

    Args:
        folder: The state folder.
        wanted: Their ids or names.
        all_controllers: Forget all of them.
    """
    try:
        controllers, _ = _known(folder)
        chosen = controllers if all_controllers else _choose(controllers, wanted)
        if not chosen:
            print("Not paired: there is no right to take back.")
            return 0
        _forget(folder, [known.id for known in chosen])
    except (ChannelError, StoreError, LookupError) as error:
        return _fail(error)
    for known in chosen:
        print(f'Home Assistant "{known.name}" ({known.id}) commands this computer no longer.')
    return 0


def _fail(error: Exception) -> int:
    print(f"pilot-agent: {error.args[0]}", file=sys.stderr)
    return 1


def _known(folder: Path) -> tuple[list[Controller], bool]:
    """Ask the service for its controllers; without one, read what it left."""
    try:
        client = LocalClient(folder)
    except NotRunningError:
        return TrustStore(folder).peek(), False
    try:
        answer = client.ask({"ask": "list"})
    finally:
        client.close()
    controllers = [
        Controller(known["id"], known["name"], b"", known["since"])
        for known in answer["controllers"]
    ]
    return controllers, bool(answer["fleet"])


def _choose(controllers: list[Controller], wanted: Iterable[str]) -> list[Controller]:
    chosen: dict[str, Controller] = {}
    for text in wanted:
        found = [known for known in controllers if text in (known.id, known.name)]
        if not found:
            raise LookupError(f"this host is not paired with {text}")
        if len(found) > 1:
            ids = ", ".join(known.id for known in found)
            raise LookupError(f"several are called {text}; say which by its id: {ids}")
        chosen[found[0].id] = found[0]
    return list(chosen.values())


def _forget(folder: Path, ids: list[str]) -> None:
    try:
        client = LocalClient(folder)
    except NotRunningError:
        store = TrustStore(folder)
        store.save([known for known in store.peek() if known.id not in ids])
        return
    try:
        client.ask({"ask": "revoke", "ids": ids})
    finally:
        client.close()


# --- Drawing ---------------------------------------------------------------------------------


def _introduce(code: str, remaining: float, *, qr: bool) -> None:
    """Show the code, and where it is to be typed.

    Args:
        code: Its digits.
        remaining: Seconds until it expires.
        qr: Whether to draw it for cameras too.
    """
    print(
        "Type this code in Home Assistant: into the dialog that adds this computer, or for one\n"
        "that is added already under Settings > Repairs, or Reconfigure > Pairing.\n"
    )
    print(f"    {code[:4]} {code[4:]}\n")
    print(f"It is valid for {math.ceil(remaining / 60)} minutes, and for one Home Assistant.\n")
    sys.stdout.flush()
    if qr and (drawn := _draw(_LINK.format(code=code))):
        print("Or scan this with the phone that has the Home Assistant app:\n")
        print(drawn, flush=True)


def _draw(text: str) -> str:
    """Draw a QR code for this terminal; empty where it cannot show one."""
    if not sys.stdout.isatty():
        return ""
    import segno  # noqa: PLC0415  (nothing but this command needs it)

    out = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(out, border=2, compact=True)
    drawn = out.getvalue()
    try:
        drawn.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ""
    if os.environ.get("TERM", "dumb") == "dumb":
        return drawn
    return "".join(f"{_COLORS}{line}{_NO_COLORS}\n" for line in drawn.splitlines())


def _wait(terminal: Terminal) -> Status:
    while (status := terminal.status) is Status.WAITING:
        _progress(terminal)
        terminal.wait(1)
    return status


def _progress(terminal: Terminal) -> None:
    if not sys.stdout.isatty():
        return
    minutes, seconds = divmod(int(terminal.remaining), 60)
    tries = f"; wrong codes: {terminal.wrong_codes}" if terminal.wrong_codes else ""
    print(f"\rWaiting, {minutes}:{seconds:02} left{tries} (Ctrl-C cancels) ", end="", flush=True)


def _clear() -> None:
    if sys.stdout.isatty():
        print("\r\x1b[K", end="", flush=True)
