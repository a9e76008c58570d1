"""Runs inside a host: what the agent's parts find and do there, as JSON."""

from __future__ import annotations

import json
import select
import sys
import threading
from typing import Any

from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.linux.logind import LogindControl
from companion_agent.platforms.linux.watch import LogindWatch


def probe() -> dict[str, Any]:
    control = LogindControl()
    found: dict[str, Any] = {}
    for name, ask in (("power", control.power_actions), ("session", control.session_actions)):
        try:
            found[name] = {
                action: missing._asdict() if missing else None for action, missing in ask().items()
            }
        except Unavailable as error:
            found[name] = error.reason
    return found


def locked() -> bool | str:
    try:
        return LogindControl().locked()
    except Unavailable as error:
        return error.reason


def act(kind: str, action: str, delay: str = "0") -> dict[str, str]:
    control = LogindControl()
    try:
        if kind == "power":
            control.power(action, float(delay))  # type: ignore[arg-type]
        else:
            control.session(action)  # type: ignore[arg-type]
    except CommandError as error:
        return {"reason": error.reason, "detail": error.detail}
    return {"reason": "", "detail": ""}


def watch(seconds: str) -> None:
    """Print what happens, one line each, and let go of everything after a while."""
    woken = threading.Event()
    watch = LogindWatch()
    watch.start(woken.set)
    assert woken.wait(10)
    said = False
    while True:
        events = watch.step()
        if not said and len(watch._inhibitors) == 2:
            print(json.dumps({"type": "listening"}), flush=True)
            said = True
        for event in events:
            print(json.dumps({"type": event.type, "data": event.data}), flush=True)
            if event.type in {"going_to_sleep", "shutting_down"}:
                threading.Event().wait(float(seconds))
                print(json.dumps({"type": "lets_go"}), flush=True)
                watch.let_go()
        assert watch.socket
        select.select([watch.socket], [], [], 10)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "probe":
        print(json.dumps(probe()))
    elif command == "locked":
        print(json.dumps(locked()))
    elif command == "watch":
        watch(*arguments)
    else:
        print(json.dumps(act(command, *arguments)))
