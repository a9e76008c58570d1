"""What the agent finds of the PC that runs this, as JSON."""

from __future__ import annotations

import json
import os
import threading

from send_message import send

from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.platforms.windows.service_controls import ServiceControls
from companion_agent.platforms.windows.window_messages import WindowMessages
from companion_agent.winapi import battery, power, privileges, registry, wts

LOCK = 7


def session_changes() -> list[list[int]]:
    """Return what a message about session 3 becomes."""
    controls, heard = ServiceControls(), threading.Event()
    controls.subscribe(heard.set)
    messages = WindowMessages(controls)
    messages.start()
    messages.opened.wait(60)
    send(0x2B1, LOCK, 3)
    heard.wait(10)
    messages.close()
    return [[one.event_type, wts.session_in(one.data)] for one in controls.take()]


def main() -> None:
    platform = WindowsPlatform()
    control = platform.control()
    session = control.session_of(os.getpid(), -1)
    watch = platform.network_watch()
    found = {
        "session": session
        and [session.id == str(wts.session_of_process(os.getpid())), session.open],
        "privileged": privileges.enable(privileges.SHUTDOWN),
        "offered": list(control.power_actions()),
        "s4": power.capabilities().s4,
        "suspended": platform.suspended_time(),
        "plugged": battery.power_status().on_line,
        "mounts": [mount.point for mount in platform.mounts()],
        "network": watch is not None,
        "pending_reboot": platform.pending_reboot(),
        "session_changes": session_changes(),
    }
    if watch:
        watch.close()
    control.power("shutdown", 600)
    found["planned"] = control.planned_shutdown() is not None
    control.power("cancel")
    found["cancelled"] = control.planned_shutdown() is None
    for name, ask in {
        "suspend": lambda: control.power("suspend"),
        "lock": lambda: control.session("lock"),
        "battery": platform.power,
        "plans": lambda: platform.processor().state(),
    }.items():
        try:
            ask()
        except (CommandError, Unavailable) as error:
            found[name] = str(error)
    lasting = registry.RegistryTexts(rf"{registry.AGENT}\probe", lasting=True)
    lasting.write("word", "là")
    found["kept"] = lasting.read("word")
    print(json.dumps(found))


main()
