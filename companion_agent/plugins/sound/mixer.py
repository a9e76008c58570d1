"""What a system's mixer is to the domain, and what all of them have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
import asyncio
from contextlib import suppress
import json
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar

from companion_agent.desktop.messages import MAX_OPTIONS, MAX_TEXT, Offer, Thing
from companion_agent.errors import CommandError
from companion_agent.plugins.naming import listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from companion_agent.desktop.domain import HelperContext
    from companion_agent.models import Value

_T = TypeVar("_T")

OUTPUT, INPUT = Thing("output"), Thing("input")
OUTPUT_VOLUME, INPUT_VOLUME = Thing("output_volume"), Thing("input_volume")
OUTPUT_MUTED, INPUT_MUTED = Thing("output_muted"), Thing("input_muted")
MICROPHONE_IN_USE = Thing("microphone_in_use")
MICROPHONE_PROGRAMS = Thing("microphone_programs")
PROGRAMS = Thing("programs")
PROGRAM_VOLUME, PROGRAM_MUTED = Thing("program_volume"), Thing("program_muted")
OF_OUTPUT = (OUTPUT, OUTPUT_VOLUME, OUTPUT_MUTED)
OF_INPUT = (INPUT, INPUT_VOLUME, INPUT_MUTED)
OF_PROGRAMS = (PROGRAMS, PROGRAM_VOLUME, PROGRAM_MUTED)

# Seconds until a mixer that has gone is looked for again; the last one for ever.
AGAIN = (1.0, 2.0, 5.0, 10.0, 60.0)
TOGETHER = 0.05
"""Seconds in which changes are one: programs change volumes in a burst of events."""
READ_BACK = 3.0
"""Seconds in which what was set is to be read back: a device that was asleep needs a moment."""
# Programs that an answer names.
_MAX_PROGRAMS = 50


class Playing(NamedTuple):
    """What a program plays.

    Attributes:
        name: What the program calls itself.
        volume: Percent of its loudest stream.
        muted: Whether all of it is muted.
        playing: Whether it is heard now.
    """

    name: str
    volume: int
    muted: bool
    playing: bool


class Direction(NamedTuple):
    """The devices that play, or those that record.

    Attributes:
        names: What they are called.
        chosen: The default one; `None` without any.
        volume: Its volume in percent.
        muted: Whether it is muted.
    """

    names: tuple[str, ...]
    chosen: str | None
    volume: int | None
    muted: bool | None


class Mixer(ABC):
    """Devices, their volume, and the programs that use them, as one system has them.

    Class attributes:
        speaker: Who says what is read back.

    Args:
        context: What the helper does for the domain.
    """

    speaker: ClassVar[str]

    def __init__(self, context: HelperContext) -> None:
        self._context = context
        self._values: dict[Thing, Value] = {}
        self._read = asyncio.Condition()

    @abstractmethod
    async def start(self) -> Offer:
        """Look at everything, and follow changes from then on.

        Raises:
            Unavailable: There is no mixer.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Follow nothing more."""

    @abstractmethod
    async def set(self, thing: Thing, value: float | str) -> None:
        """Set something, and wait until the system says that it is so.

        Raises:
            CommandError: It is not, with what the system says.
        """

    @abstractmethod
    async def programs(self) -> list[Playing]:
        """Return what plays.

        Raises:
            CommandError: The mixer has gone.
        """

    @abstractmethod
    async def set_program(self, thing: Thing, program: str, value: float) -> None:
        """Set volume or mute of all that a program plays, and read it back.

        Raises:
            CommandError: It plays nothing, or it is not so, with what the system says.
        """

    @abstractmethod
    async def _look(self) -> Offer:
        """Read everything, and return what can be done."""

    async def _look_when(self, changed: asyncio.Event, gone: tuple[type[Exception], ...]) -> None:
        """Look whenever something has changed, until it fails for one of some reasons."""
        while True:
            await changed.wait()
            await asyncio.sleep(TOGETHER)
            changed.clear()
            with suppress(*gone):
                self._context.offer(await self._look())
                async with self._read:
                    self._read.notify_all()

    async def _read_back(self, thing: Thing, wanted: Value) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(READ_BACK), self._read:
                await self._look()
                await self._read.wait_for(lambda: self._values.get(thing) == wanted)
        if (seen := self._values.get(thing)) != wanted:
            raise CommandError("failed", f"{self.speaker} says that it is {seen}")

    def _report(
        self,
        outputs: Direction,
        inputs: Direction,
        recorders: list[str],
        way: str,
        unchoosable: str = "",
        unheard: str = "",
    ) -> Offer:
        """Tell what is read, and return what can be done.

        Args:
            outputs: What plays.
            inputs: What records.
            recorders: The programs that record.
            way: By what all this is.
            unchoosable: Why no device can be chosen; empty where it can.
            unheard: Why it is not told who records; empty where it is.
        """
        values: dict[Thing, Value] = {}
        readings: list[Thing] = []
        why = {}
        for things, direction in ((OF_OUTPUT, outputs), (OF_INPUT, inputs)):
            if not direction.names:
                why[things[0].name] = "there is no device"
                continue
            readings += things
            values |= zip(things, direction[1:], strict=True)
            if unchoosable:
                why[things[0].name] = unchoosable
        commands = [one for one in readings if not unchoosable or one not in (OUTPUT, INPUT)]
        if unheard:
            why[MICROPHONE_IN_USE.name] = unheard
        else:
            readings += (MICROPHONE_IN_USE, MICROPHONE_PROGRAMS)
            values[MICROPHONE_IN_USE] = bool(recorders)
            values[MICROPHONE_PROGRAMS] = listing(recorders)
        self._values = values
        offer = Offer(
            tuple(readings),
            (*commands, *OF_PROGRAMS),
            way,
            why,
            {
                thing: direction.names
                for thing, direction in ((OUTPUT, outputs), (INPUT, inputs))
                if thing in commands
            },
        )
        self._context.read(values)
        return offer


def as_json(programs: Iterable[Playing]) -> str:
    """Return what plays as an answer says it: a list of the fields of `Playing`."""
    return json.dumps([one._asdict() for one in list(programs)[:_MAX_PROGRAMS]])


def named(devices: Iterable[tuple[str, str, _T]]) -> dict[str, _T]:
    """Return devices by the name that the system shows; by more where two have the same.

    Args:
        devices: The name that is shown, what tells it from others, and the device.
    """
    found: dict[str, _T] = {}
    for shown, identity, device in list(devices)[:MAX_OPTIONS]:
        name = (shown or identity)[:MAX_TEXT]
        if name in found:
            name = f"{name[: MAX_TEXT // 2]} ({identity[: MAX_TEXT // 3]})"
        found[name] = device
    return found


def streams_of(programs: Mapping[str, list[_T]], program: str) -> list[_T]:
    """Return the streams of a program, whose name may be written in any case.

    Raises:
        CommandError: It plays nothing.
    """
    wanted = program.casefold()
    found = [one for name, one in programs.items() if name.casefold() == wanted]
    if not found:
        these = ", ".join(programs) or "nothing else does either"
        raise CommandError("failed", f"{program} plays nothing now; what plays: {these}")
    return [stream for streams in found for stream in streams]


def program_name(name: str) -> str:
    """Return a program's name as it stands in lists: several are one text, with commas between."""
    return " ".join(name.replace(",", " ").split())[:MAX_TEXT] or "unknown"
