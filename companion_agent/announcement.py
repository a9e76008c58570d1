"""This host's announce, put together from what the parts of the agent know."""

from __future__ import annotations

import platform as python_platform
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent import __version__
from companion_agent.models import (
    Argument,
    ChoiceArgument,
    DataArgument,
    FreeTextArgument,
    ListArgument,
)
from companion_agent.protocol.announce import (
    Agent,
    Announce,
    Command,
    Device,
    Host,
    Limits,
    Missing,
    Reading,
    check_reading,
)
from companion_agent.protocol.catalogue import ReadingType
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.topics import Separator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent import models
    from companion_agent.platforms.base import HostInfo
    from companion_agent.protocol.announce import Conflict


class Report(NamedTuple):
    """What one collector reports: its interval in seconds, and its readings."""

    interval: float
    readings: tuple[models.Reading, ...] = ()


def describe_host(host_id: str, name: str, info: HostInfo) -> Host:
    """Describe this machine.

    Args:
        host_id: The host's id.
        name: What it is shown as.
        info: What the operating system says of it. A machine whose firmware names no model is
            called by its system.
    """
    return Host(
        id=host_id,
        name=name,
        os=info.os,
        arch=info.arch,
        manufacturer=info.manufacturer,
        model=info.model or info.os.partition(" (")[0],
        macs=info.macs,
    )


def describe_agent(pair_command: str | None = None) -> Agent:
    """Describe this program; `pair_command` is what to type here to pair it."""
    return Agent(__version__, python_platform.python_version(), pair_command)


def describe_reading(collector: str, reading: models.Reading) -> Reading:
    """Describe a reading of a collector.

    Raises:
        ProtocolError: Its key, its type or its options cannot be announced.
    """
    key = f"{collector}.{reading.key}"
    try:
        reading_type = ReadingType(reading.type)
    except ValueError:
        text = f"{key}: {reading.type!r} is not a type of values"
        raise ProtocolError("type", text) from None
    described = Reading(
        key=key,
        kind=reading.kind or key,
        type=reading_type,
        of=reading.of,
        device=reading.device.id if reading.device else None,
        name=reading.name,
        unit=reading.unit,
        options=reading.options,
        device_class=reading.device_class,
        state_class=reading.state_class,
    )
    check_reading(described)
    return described


def describe_command(command: models.Command) -> Command:
    """Describe a command."""
    missing = command.missing
    return Command(
        key=command.key,
        kind=command.kind or command.key,
        args={name: argument.unit for name, argument in command.args.items()},
        limits={
            name: limits for name, argument in command.args.items() if (limits := _limits(argument))
        },
        options={
            name: argument.options
            for name, argument in command.args.items()
            if isinstance(argument, ChoiceArgument)
        },
        missing=Missing(missing.reason, missing.fix) if missing else None,
        device=command.device,
        state=command.state,
        name=command.name,
        show=command.show,
        confirm=command.confirm,
        harmless=command.harmless,
        time_limit=command.time_limit or None,
    )


def describe_device(device: models.Device) -> Device:
    """Describe a device below this machine.

    One without a name is called by its id where nothing else is known of it; a sensor is named
    where it is shown, in the user's language.
    """
    name = device.name or ("" if device.model else device.id)
    return Device(name, device.manufacturer, device.model, device.serial)


def _limits(argument: models.AnyArgument) -> Limits | None:
    match argument:
        case Argument():
            return Limits(argument.minimum, argument.maximum, argument.step or None)
        case FreeTextArgument() | DataArgument():
            return Limits(0, argument.longest)
        case ListArgument():
            return Limits(0, argument.most)
        case _:
            return None


def compose(
    session: str,
    host: Host,
    reports: Mapping[str, Report],
    conflict: Conflict | None = None,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Announce:
    """Put an announce together.

    Args:
        session: The session of this start of the agent.
        host: This machine.
        reports: What every collector at work reports, by the collector's name.
        conflict: Another agent that was heard under this host's id.
        more: Other fields of the announce, by name: of the agent, trust, commands, events and
            updates.

    Raises:
        ProtocolError: A reading cannot be announced.
    """
    named = [(name, reading) for name, report in reports.items() for reading in report.readings]
    devices = [reading.device for _, reading in named if reading.device]
    readings = [describe_reading(name, reading) for name, reading in named]
    fields: dict[str, Any] = {"agent": describe_agent(), **more}
    return Announce(
        session=session,
        host=host,
        collectors={name: report.interval for name, report in reports.items()},
        devices={device.id: describe_device(device) for device in devices},
        readings={reading.key: reading for reading in readings},
        conflict=conflict,
        separator=Separator.COLON,
        **fields,
    )
