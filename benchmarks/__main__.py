"""``benchmarks/run``: measure, print, and end with 0."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import platform
import signal
import sys
import tempfile
from typing import TYPE_CHECKING, Final

from stack.console import StackError, fail

from . import agent_costs, command_latency, event_loop, fleet_load, latency, session_helper
from .report import Table, as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program."""
    options = _parse(arguments)
    facts = {
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(terse=True),
    }
    # What asks a program to end, as `timeout` does, is to leave what was measured until then.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tables: list[Table] = []
    code = 0
    with tempfile.TemporaryDirectory(prefix="pilot-benchmarks-") as folder:
        try:
            for part in options.only or _PARTS:
                measured: list[Table] = []
                try:
                    _PARTS[part](Path(folder) / part, options, measured)
                finally:
                    measured = [table for table in measured if table.rows or table.notes]
                    tables += measured
                    if not options.json:
                        for table in measured:
                            print(table.markdown(), end="\n\n", flush=True)
        except StackError as error:
            fail(error)
            code = 1
        except KeyboardInterrupt:
            code = 130
    if options.json:
        json.dump(as_json(tables, facts), sys.stdout, indent=2, ensure_ascii=False)
        # Threads that still watch a process are waited for afterwards.
        print(flush=True)
    else:
        print(f"{facts['cores']} cores, load at the start {facts['load']}, {facts['system']}")
    return code


def _agents(folder: Path, options: argparse.Namespace, tables: list[Table]) -> None:
    times = {
        "interval": options.interval, "warmup": options.warmup, "window": options.window,
    }  # fmt: skip
    agent_costs.run(folder / "agents", tables, together=options.together, **times)
    session_helper.run(folder / "desktop", tables, **times)


def _event_loop(folder: Path, options: argparse.Namespace, tables: list[Table]) -> None:
    event_loop.run(folder, tables, hosts=options.hosts, rounds=options.rounds)


def _latency(folder: Path, options: argparse.Namespace, tables: list[Table]) -> None:
    tables += latency.run(folder, seconds=options.window)


def _command_latency(folder: Path, options: argparse.Namespace, tables: list[Table]) -> None:
    tables += command_latency.run(folder, times=options.commands)


def _fleet_load(folder: Path, options: argparse.Namespace, tables: list[Table]) -> None:
    fleet_load.run(
        folder,
        tables,
        hosts=options.fleet_hosts,
        window=min(options.window, _FLEET_WINDOW),
        churn=options.churn,
        minutes=options.minutes,
        shown="usual" if options.usual else "all",
    )


_FLEET_WINDOW: Final = 60.0
"""Seconds: a thousand hosts report six thousand times in them."""

_PARTS: dict[str, Callable[[Path, argparse.Namespace, list[Table]], None]] = {
    "a": _agents,
    "b": _event_loop,
    "c": _latency,
    "d": _command_latency,
    "e": _fleet_load,
}
"""They add their tables to the list, and rows to these, as they measure: what was measured until an
error or an interruption is printed."""


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    parser.add_argument(
        "--only",
        choices=tuple(_PARTS),
        help=(
            "one part: a (agents), b (Home Assistant's event loop), c (from reading to state), "
            "d (from command to result), e (a fleet on one Home Assistant)"
        ),
    )
    parser.add_argument("--quick", action="store_true", help="shorter and coarser")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--together", action="store_true", help="run all agents at once: for a busy machine"
    )
    parser.add_argument("--interval", type=float, default=10, help="of the agents, in seconds")
    parser.add_argument("--warmup", type=float, help="seconds before an agent is watched")
    parser.add_argument("--window", type=float, help="seconds that it is watched")
    parser.add_argument("--hosts", type=int, help="that Home Assistant follows, in b and e")
    parser.add_argument("--rounds", type=int, help="of updates from all hosts")
    parser.add_argument("--commands", type=int, help="that a host is given")
    parser.add_argument("--churn", type=int, help="days on which hosts of e leave and join")
    parser.add_argument(
        "--minutes",
        type=float,
        default=12,
        help="that e may take; what there is no time for is left out",
    )
    parser.add_argument(
        "--usual",
        action="store_true",
        help="in e, only the sensors that Pilot enables by itself, not all forty of a host",
    )
    options = parser.parse_args(arguments)
    options.fleet_hosts = options.hosts or (100 if options.quick else 1000)
    options.churn = options.churn or (2 if options.quick else 7)
    options.hosts = options.hosts or (20 if options.quick else 100)
    options.rounds = options.rounds or (3 if options.quick else 9)
    options.commands = options.commands or (100 if options.quick else 1000)
    options.warmup = options.warmup or (15 if options.quick else 60)
    options.window = options.window or (30 if options.quick else 120)
    return options


if __name__ == "__main__":
    sys.exit(main())
