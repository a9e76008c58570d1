"""What the tests run inside the machine: Pilot's own code, at its monitor and its disks.

Each prints what was seen as JSON.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
from pathlib import Path
import select
import sys
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from companion_agent.plugins.screen.helper import ScreenDomain
    from support.agent_desktop import FakeContext

# What is imported is imported where it is used: without virtualisation a module costs a tenth of a
# second.

_VT_ACTIVATE = 0x5606
# Seconds: without virtualisation, beside other tests, a second here is many outside.
PATIENCE = 120.0

# Imported where it is used: without virtualisation a module costs a tenth of a second.


def dpms() -> list[str]:
    """Read the kernel's own word."""
    return [path.read_text().strip() for path in Path("/sys/class/drm").glob("card*-*/dpms")]


def console(*values: str) -> dict[str, Any]:
    """Switch the screen of the console, as the agent does without a desktop."""
    from companion_agent.desktop.sessions import DesktopSessions
    from companion_agent.errors import CommandError
    from companion_agent.platforms.linux.platform import LinuxPlatform
    from companion_agent.plugins.screen.plugin import ScreenPlugin

    screen = ScreenPlugin(LinuxPlatform(), sessions=DesktopSessions())
    seen: dict[str, Any] = {"before": screen.collect()["on"], "ways": screen.ways()}
    [command] = screen.commands()
    seen["missing"] = command.missing.fix if command.missing else ""
    seen["after"] = []
    for value in values:
        try:
            screen.run("screen.on", {"value": int(value)})
        except CommandError as error:
            seen["after"].append(f"{error.reason}: {error.detail}")
        else:
            seen["after"].append([screen.collect()["on"], *dpms()])
    return seen


async def _x11(play: Callable[[ScreenDomain, FakeContext], Awaitable[None]]) -> None:
    from companion_agent.platforms.linux.files import Files
    from companion_agent.plugins.screen.helper import ScreenDomain
    from support.agent_desktop import FakeContext

    context = FakeContext()
    domain = ScreenDomain(context, Files())
    context.offer(await domain.start())
    try:
        await play(domain, context)
    finally:
        await domain.stop()


def x11() -> dict[str, Any]:
    """Switch the screen of an X11 session, as its helper does; another one does it by hand."""
    from companion_agent.desktop.messages import Thing

    on, time_out = Thing("on"), Thing("time_out")
    seen: dict[str, Any] = {"after": []}

    async def by_hand(domain: ScreenDomain, _: FakeContext) -> None:
        await domain.call(on, {"value": 0})

    async def play(domain: ScreenDomain, context: FakeContext) -> None:
        seen["way"] = context.offered.way
        for value in (0, 1):
            await domain.call(on, {"value": value})
            seen["after"].append([context.values[on], *dpms()])
        await _x11(by_hand)
        await context.until(lambda: context.events, PATIENCE)
        seen["after another"] = [context.values[on], *dpms(), context.events]
        await domain.call(on, {"value": 1})
        seen["in the end"] = [context.values[on], *dpms()]
        context.events.clear()
        await domain.call(time_out, {"value": 1})
        await context.until(lambda: context.events, PATIENCE)
        seen["after the time-out"] = [context.values[on], *dpms(), context.events]
        await domain.call(time_out, {"value": 0})
        await domain.call(on, {"value": 1})
        seen["without it"] = [context.values[time_out], *dpms()]

    asyncio.run(_x11(play))
    return seen


def watch() -> dict[str, Any]:
    """Wait for news of sysfs, of which the console in front is some."""
    from companion_agent.platforms.linux.backlight import SysfsWatch

    watch = SysfsWatch(["/sys/class/tty/tty0/active"])
    seen = {"quiet": not select.select([watch], [], [], 0)[0]}
    with Path("/dev/tty0").open("wb", buffering=0) as terminal:
        for number in (2, 1):
            fcntl.ioctl(terminal, _VT_ACTIVATE, number)
            heard = select.select([watch], [], [], 60)[0]
            watch.take()
            seen[f"heard {number}"] = bool(heard)
    seen["quiet again"] = not select.select([watch], [], [], 0)[0]
    return seen


def disks(*excluded: str) -> dict[str, Any]:
    """Read how well disks and arrays are, by what they are called for ever."""
    from companion_agent.errors import Unavailable
    from companion_agent.models import Selection
    from companion_agent.platforms.linux.platform import LinuxPlatform
    from companion_agent.plugins.disk_health import DiskHealthPlugin

    collector = DiskHealthPlugin(LinuxPlatform(), Selection(exclude=excluded))
    try:
        values = collector.collect()
    except Unavailable as error:
        return {"absent": error.reason}
    readings = collector.readings()
    serials = {one.key: one.device.serial if one.device else one.of for one in readings}
    kinds = {one.key: one.kind.partition(".")[2] for one in readings}
    return {
        "values": {f"{kinds[key]} {serials[key]}": value for key, value in values.items()},
        "models": {one.device.serial: one.device.model for one in readings if one.device},
        "left out": dict(collector.left_out()),
    }


def camera(device: str) -> dict[str, Any]:
    """Have a program film, and tell what the helper of its user's session reads meanwhile."""
    from companion_agent.desktop.messages import Thing
    from companion_agent.plugins.camera.helper import CameraDomain
    from support.agent_desktop import FakeContext

    in_use, programs = Thing("in_use"), Thing("programs")
    seen: dict[str, Any] = {}

    async def play() -> None:
        context = FakeContext()
        domain = CameraDomain(context)
        context.offer(await domain.start())
        seen["before"] = [context.values[in_use], context.values[programs]]
        nothing = asyncio.subprocess.DEVNULL
        filming = await asyncio.create_subprocess_exec("cat", device, stdout=nothing)
        await context.until(lambda: context.values[in_use], PATIENCE)
        seen["while it films"] = [context.values[in_use], context.values[programs]]
        filming.terminate()
        seen["it ended by"] = await filming.wait()
        await context.until(lambda: not context.values[in_use], PATIENCE)
        seen["afterwards"] = [context.values[in_use], context.values[programs]]
        await domain.stop()

    asyncio.run(play())
    return seen


PARTS = {"camera": camera, "console": console, "disks": disks, "x11": x11, "watch": watch}

if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    print(json.dumps(PARTS[what](*arguments)))
