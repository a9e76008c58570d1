"""Part (a), continued: what the session helper costs a desktop that it works on."""

from __future__ import annotations

from contextlib import ExitStack
import os
import statistics
import time
from typing import TYPE_CHECKING
from unittest.mock import patch

import psutil

from companion_agent.service.unit import ENVIRONMENT
from stack.console import StackError, say
from stack.process import Process, wait_for
from tests.support import agent_media, agent_sound, dbusmock
from tests.support.agent_desktop import AgentEnd, FakeControl, session
from tests.support.agent_logind import LOGIND, SystemBus
from tests.support.agent_media import Mpv
from tests.support.agent_notifications import Dunst
from tests.support.agent_sound import SoundServer

from . import agents, environments, processes
from .broker import StockMosquitto
from .report import Cell, Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .environments import Installed

COLUMNS = (
    "session helper",
    "RSS MiB",
    "USS MiB",
    "CPU s/min",
    "wake-ups/min",
    "first offer s",
    "all offers s",
    "CPU s until then",
    "packages",
    "disk MiB",
)

_MIB = 1024 * 1024
_STARTS = 5
_START_LIMIT = 30.0
# Of a lone domain that is there as soon as it can be asked, and of all that this desktop has.
_FIRST, _BASE, _ALL = (
    {"screen"},
    {"screen", "notifications"},
    {"screen", "notifications", "sound", "media"},
)


def run(
    folder: Path, tables: list[Table], *, interval: float, warmup: float, window: float
) -> None:
    """Measure the session helper, and lnxlink on the same desktop.

    Args:
        folder: For their files.
        tables: Has what was measured so far, also after an interruption.
        interval: At which lnxlink reads, in seconds.
        warmup: Seconds before they are watched.
        window: Seconds that they are watched.
    """
    table = Table(
        f"Session helper on an idle desktop ({warmup:g} s warm-up, {window:g} s window)", COLUMNS
    )
    tables.append(table)
    if missing := _missing():
        table.notes.append(f"not measured: {missing}")
        return
    table.notes.append(
        "Xvfb, D-Bus, logind (played), dunst; sound and media: PulseAudio with null sinks, mpv; "
        f"offers: median of {_STARTS} starts, from the start of the process until the agent has "
        "heard of the screen, or of all domains"
    )
    for name, extras, whole in (
        ("all domains", ("sound",), True),
        ("no sound server, no player", (), False),
    ):
        with ExitStack() as stack:
            desktop = _Desktop(stack, folder / ("whole" if whole else "base"), whole=whole)
            try:
                table.add(
                    _helper(name, desktop, environments.from_checkout(*extras), warmup, window)
                )
            except (StackError, psutil.NoSuchProcess) as error:
                table.notes.append(f"{name}: {error}")
    with ExitStack() as stack:
        desktop = _Desktop(stack, folder / "lnxlink", whole=True)
        try:
            table.add(_lnxlink(desktop, interval, warmup, window))
        except (StackError, psutil.NoSuchProcess) as error:
            table.notes.append(f"lnxlink: {error}")


def _missing() -> str:
    """Say what this machine lacks for a desktop."""
    programs = ", ".join(Dunst.missing())
    return programs or agent_sound.why_not() or agent_media.why_not() or dbusmock.why_not()


class _Desktop:
    """A desktop, and the agent's end.

    Args:
        stack: Ends it.
        folder: For its files.
        whole: Whether there are a sound server and a media player.
    """

    def __init__(self, stack: ExitStack, folder: Path, *, whole: bool) -> None:
        self.folder = folder
        self.wanted = _ALL if whole else _BASE
        for name in ("bus", "dunst", "sound", "media", "agent", "home"):
            (folder / name).mkdir(parents=True)
        bus = SystemBus(folder / "bus")
        stack.enter_context(patch.dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=bus.address))
        stack.callback(bus.stop)
        bus.start()
        bus.play("logind", LOGIND)
        dunst = Dunst(bus, folder / "dunst")
        stack.callback(dunst.stop)
        self.env = {
            **ENVIRONMENT,
            "HOME": str(folder / "home"),
            "DISPLAY": dunst.environment["DISPLAY"],
            "DBUS_SESSION_BUS_ADDRESS": bus.address,
            "DBUS_SYSTEM_BUS_ADDRESS": bus.address,
            "XDG_RUNTIME_DIR": str(folder / "home"),
            "PULSE_SERVER": f"unix:{folder}/nowhere",
        }
        if whole:
            sound = SoundServer(folder / "sound")
            stack.callback(sound.stop)
            sound.start()
            self.env["PULSE_SERVER"] = sound.address
            player = Mpv(bus, folder / "media")
            stack.callback(player.stop)
        self.agent = stack.enter_context(
            AgentEnd(folder / "agent", FakeControl(session()), uid=os.geteuid())
        )

    def offered(self, domains: set[str]) -> bool:
        """Tell whether the helper offers something of each of these."""
        return any(
            domains <= {name for name, one in helper["domains"].items() if not one["empty"]}
            for helper in self.agent.sessions.describe()
        )


def _helper(
    name: str, desktop: _Desktop, installed: Installed, warmup: float, window: float
) -> list[Cell]:
    command = [str(installed.folder / "bin" / "pilot-agent"), "session", "--folder"]
    process = Process(
        f"session helper, {name}",
        [*command, str(desktop.agent.folder)],
        desktop.folder / "helper.log",
        env=desktop.env,
    )
    firsts, alls, costs = [], [], []
    try:
        for number in range(_STARTS):
            if number:
                process.stop()
                wait_for(lambda: not desktop.agent.sessions.describe(), "the end of the helper")
            begun = time.monotonic()
            process.start()
            firsts.append(_seconds(begun, lambda: desktop.offered(_FIRST), process))
            alls.append(_seconds(begun, lambda: desktop.offered(desktop.wanted), process))
            costs.append(processes.cpu_seconds(process.pid))
        return [
            f"pilot-agent session, {name}",
            *_usage(process, warmup, window),
            round(statistics.median(firsts), 3),
            round(statistics.median(alls), 3),
            round(statistics.median(costs), 3),
            installed.packages,
            round(installed.size / _MIB, 1),
        ]
    finally:
        process.stop()


def _lnxlink(desktop: _Desktop, interval: float, warmup: float, window: float) -> list[Cell]:
    subject = agents.lnxlink(desktop.env)
    with StockMosquitto(desktop.folder / "broker") as broker:
        process = subject.launch(desktop.folder / "lnxlink", broker, interval)
        process.start()
        try:
            usage = _usage(process, warmup, window)
        finally:
            process.stop()
    size = None if subject.size is None else round(subject.size / _MIB, 1)
    return [f"{subject.name}, the whole of it", *usage, None, None, None, subject.packages, size]


def _usage(process: Process, warmup: float, window: float) -> list[Cell]:
    say(f"measuring {process.name} ({warmup + window:.0f} s)")
    time.sleep(warmup)
    usage = processes.watch(process.pid, window)
    return [
        round(usage.rss / _MIB, 1),
        round(usage.uss / _MIB, 1),
        round(usage.cpu_per_minute, 4),
        round(usage.wakeups_per_minute),
    ]


def _seconds(begun: float, done: Callable[[], bool], process: Process) -> float:
    wait_for(done, "its offers", timeout=_START_LIMIT, interval=0.005, process=process)
    return time.monotonic() - begun
