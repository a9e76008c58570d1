"""`pilot-agent read`: all current readings of this host, without a broker."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any

from companion_agent.cli.snapshot import Snapshot
from companion_agent.logs import printable
from companion_agent.plugins import registry
from companion_agent.plugins.runner import kind_of, unit_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from companion_agent.models import Reading, Value
    from companion_agent.plugins.runner import CollectorRunner


def main(parsed: argparse.Namespace) -> int:
    """Print the readings."""
    return read(parsed.collector, as_json=parsed.json)


def read(names: Sequence[str], *, as_json: bool) -> int:
    """Print the readings.

    Returns:
        The exit code.
    """
    known = registry.collectors()
    unknown = [name for name in names if name not in known]
    if unknown:
        print(
            f"pilot-agent: there is no collector {unknown[0]}; known are {', '.join(known)}",
            file=sys.stderr,
        )
        return 2
    # What goes wrong is said in the table.
    logging.getLogger("companion_agent").setLevel(logging.CRITICAL)
    snapshot = Snapshot.of_this_host(names or None, given=_configured())
    if as_json:
        print(json.dumps(_as_json(snapshot), indent=2, ensure_ascii=False))
    else:
        _print_table(snapshot)
    return 0 if any(source.available for source in snapshot.sources) else 1


def _configured() -> dict[type, object]:
    """Return what the configuration says to single plug-ins, and what was changed of it since."""
    from companion_agent import config
    from companion_agent.plugins.i2c.overrides import Overrides, OverridesError
    from companion_agent.plugins.i2c.settings import I2cConfig

    try:
        loaded = config.load(needs_broker=False)
    except config.ConfigError:
        return {}
    given = loaded.of_plugins()
    if loaded.i2c != I2cConfig():
        try:
            given[Overrides] = Overrides.as_of_now(loaded.state_dir)
        except OverridesError as error:
            print(f"pilot-agent: sensors are read as configured: {error}", file=sys.stderr)
    return given


def _as_json(snapshot: Snapshot) -> dict[str, Any]:
    readings = {
        f"{source.name}.{reading.key}": {
            "value": value,
            **{
                name: text
                for name, text in (
                    ("unit", unit_of(source, reading)),
                    ("kind", kind_of(source, reading)),
                    ("of", reading.of),
                    ("device", reading.device.id if reading.device else ""),
                )
                if text
            },
        }
        for source, reading, value in _values(snapshot)
    }
    missing = {name: reason for name, reason, _ in missing_of(snapshot)}
    return {"readings": readings, "missing": missing}


def _print_table(snapshot: Snapshot) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Reading", no_wrap=True)
    table.add_column("Value", justify="right")
    table.add_column("Unit")
    table.add_column("Of")
    last = ""
    for source, reading, value in _values(snapshot):
        if last not in {"", source.name}:
            table.add_section()
        last = source.name
        table.add_row(
            Text(f"{source.name}.{reading.key}"),
            Text(
                printable(shown(value, unit_of(source, reading))),
                style="dim" if value is None else "",
            ),
            Text("" if _is_scaled(value, unit_of(source, reading)) else unit_of(source, reading)),
            Text(printable(_of(reading))),
        )
    console = Console()
    if not console.is_terminal:
        # A pipe has no width: cutting what a script reads would be a trap.
        console.width = max(console.width, 200)
    console.print(table)
    for name, reason, hint in missing_of(snapshot):
        said = printable(f"{name}: {reason}{f'. {hint}' if hint else ''}")
        console.print(Text(said, style="dim"))


def _of(reading: Reading) -> str:
    device = reading.device
    return reading.of or (device.name or device.id if device else "")


def _values(snapshot: Snapshot) -> Iterator[tuple[CollectorRunner, Reading, Value]]:
    for source in snapshot.sources:
        for reading in source.readings:
            yield source, reading, source.values.get(reading.key)


def missing_of(snapshot: Snapshot) -> Iterator[tuple[str, str, str]]:
    """Yield what could not be read: the collector, why, and what to do about it."""
    yield from ((name, reason, "") for name, reason in snapshot.failures.items())
    for source in snapshot.sources:
        if gone := source.absent:
            yield source.name, gone.reason, gone.hint
        elif source.trouble:
            yield source.name, source.trouble, ""


# --- How values look -------------------------------------------------------------------------

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def shown(value: Value, unit: str) -> str:
    """Write a value for people."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if _is_scaled(value, unit):
        return _scaled(value, unit)
    return f"{value:,}"


def _is_scaled(value: Value, unit: str) -> bool:
    return unit in {"B", "B/s"} and isinstance(value, (int, float)) and not isinstance(value, bool)


def _scaled(value: float, unit: str) -> str:
    amount = float(value)
    for prefix in _BYTES:
        if abs(amount) < 1024 or prefix == _BYTES[-1]:
            break
        amount /= 1024
    digits = 0 if prefix == "B" else 1
    return f"{amount:,.{digits}f} {prefix}{unit[1:]}"
