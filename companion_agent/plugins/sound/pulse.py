"""The sound server's devices: PulseAudio, or PipeWire by its PulseAudio interface.

The server tells of changes, and is asked again then; what it says while nothing changes costs
nothing. A volume is that of the loudest channel, as mixers show it, and setting it keeps the
balance. Source: PulseAudio's `introspect.h` and `subscribe.h`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
import logging
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pulsectl import (  # type: ignore[import-untyped]
    PulseDisconnected,
    PulseError,
    PulseVolumeInfo,
)
from pulsectl_asyncio import PulseAsync  # type: ignore[import-untyped]

from companion_agent.desktop.messages import Offer, Thing
from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.sound.mixer import (
    AGAIN,
    INPUT,
    INPUT_MUTED,
    OF_OUTPUT,
    OUTPUT,
    OUTPUT_MUTED,
    PROGRAM_MUTED,
    READ_BACK,
    Direction,
    Mixer,
    Playing,
    named,
    program_name,
    streams_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from companion_agent.desktop.domain import HelperContext
    from companion_agent.models import Value

_LOGGER = logging.getLogger(__name__)

# A machine that has just been started is busy; what is not there refuses at once.
_CONNECT_LIMIT = 10.0
# PA_INVALID_INDEX: the source is not what a sink plays, but a device that records.
_NOT_A_MONITOR = 0xFFFFFFFF
_FACILITIES = ("sink", "source", "sink_input", "source_output", "server")


class _Devices(NamedTuple):
    """The devices of one direction, by the names that are shown; those of monitors left out.

    Attributes:
        by_name: Each device.
        chosen: The name of the default device; `None` where there is none.
    """

    by_name: dict[str, Any]
    chosen: str | None

    @property
    def default(self) -> Any:  # noqa: ANN401  (sink or source of an untyped library)
        return self.by_name.get(self.chosen) if self.chosen else None


class Pulse(Mixer):
    """A connection to the sound server that is made again when it breaks.

    Args:
        context: What the helper does for the domain.
    """

    speaker: ClassVar[str] = "the sound server"

    def __init__(self, context: HelperContext) -> None:
        super().__init__(context)
        self._pulse: PulseAsync | None = None
        self._task: asyncio.Task[None] | None = None
        self._server = ""

    async def start(self) -> Offer:
        """Connect, and follow the server from then on.

        Raises:
            Unavailable: No server answers.
        """
        if self._task is None:
            await self._connect()
            offer = await self._look()
            self._task = asyncio.create_task(self._follow())
            return offer
        return await self._look()

    async def stop(self) -> None:
        """Hang up."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._close()

    async def set(self, thing: Thing, value: float | str) -> None:
        """Set something, and wait until the server says that it is so.

        Raises:
            CommandError: It is not, with what the server says.
        """
        pulse = self._connected()
        try:
            if thing in (OUTPUT, INPUT):
                wanted: Value = await self._choose(pulse, thing, str(value))
            else:
                wanted = await self._set_device(pulse, thing, float(value))
            await self._read_back(thing, wanted)
        except (PulseError, PulseDisconnected) as error:
            raise CommandError("failed", f"the sound server refused it: {error}") from error

    async def programs(self) -> list[Playing]:
        """Return what plays.

        Raises:
            CommandError: The server has gone.
        """
        try:
            programs = await _programs(self._connected())
        except (PulseError, PulseDisconnected) as error:
            raise CommandError("failed", f"the sound server refused it: {error}") from error
        return [
            Playing(
                name,
                max(filter(None, map(_percent, streams)), default=0),
                all(one.mute for one in streams),
                not all(one.corked for one in streams),
            )
            for name, streams in programs.items()
        ]

    async def set_program(self, thing: Thing, program: str, value: float) -> None:
        """Set volume or mute of all that a program plays, and read it back.

        Raises:
            CommandError: It plays nothing, or it is not so, with what the server says.
        """
        pulse = self._connected()
        try:
            for stream in streams_of(await _programs(pulse), program):
                if thing == PROGRAM_MUTED:
                    await pulse.mute(stream, value == 1)
                else:
                    scaled = _scaled(stream.volume.values, value / 100)
                    await pulse.volume_set(stream, scaled)
            seen: list[object] = []
            with suppress(TimeoutError):
                async with asyncio.timeout(READ_BACK), self._read:
                    while True:
                        streams = streams_of(await _programs(pulse), program)
                        seen = [
                            bool(one.mute) if thing == PROGRAM_MUTED else _percent(one)
                            for one in streams
                        ]
                        if all(one == round(value) for one in seen):
                            return
                        await self._read.wait()
        except (PulseError, PulseDisconnected) as error:
            raise CommandError("failed", f"the sound server refused it: {error}") from error
        raise CommandError("failed", f"the sound server says that it is {seen} of {program}")

    async def _choose(self, pulse: PulseAsync, thing: Thing, name: str) -> str:
        devices = await self._devices(pulse, outputs=thing == OUTPUT)
        if name not in devices.by_name:
            raise CommandError("failed", f"there is no device {name} now")
        await pulse.default_set(devices.by_name[name])
        return name

    async def _set_device(self, pulse: PulseAsync, thing: Thing, value: float) -> Value:
        device = (await self._devices(pulse, outputs=thing in OF_OUTPUT)).default
        if device is None:
            raise CommandError("failed", "there is no device now")
        if thing in (OUTPUT_MUTED, INPUT_MUTED):
            await pulse.mute(device, value == 1)
            return value == 1
        await pulse.volume_set(device, _scaled(device.volume.values, value / 100))
        return round(value)

    def _connected(self) -> PulseAsync:
        if self._pulse is None:
            raise CommandError("failed", "the sound server has gone")
        return self._pulse

    # --- The connection ------------------------------------------------------------------

    async def _connect(self) -> None:
        self._close()
        pulse = PulseAsync("pilot-agent")
        try:
            # What plays no sound needs no server started for it.
            async with asyncio.timeout(_CONNECT_LIMIT):
                await pulse.connect(autospawn=False)
                # PipeWire's interface accepts, and says nothing while no session manager runs.
                info = await pulse.server_info()
        except (PulseError, PulseDisconnected, TimeoutError) as error:
            pulse.close()
            raise Unavailable("no sound server (PulseAudio, PipeWire) answers") from error
        self._pulse = pulse
        self._server = str(info.server_name)

    def _close(self) -> None:
        if self._pulse:
            self._pulse.close()
            self._pulse = None

    async def _follow(self) -> None:
        while True:
            try:
                await self._listen(self._connected())
            except (PulseError, PulseDisconnected) as error:
                _LOGGER.info("The sound server has gone: %s", error or "disconnected")
            self._close()
            self._context.offer(Offer(why={"": "the sound server has gone"}))
            await self._find_again()

    async def _listen(self, pulse: PulseAsync) -> None:
        changed = asyncio.Event()
        changed.set()
        looker = asyncio.create_task(
            # A server that has gone is noticed by who listens.
            self._look_when(changed, (PulseError, PulseDisconnected))
        )
        try:
            async for _ in pulse.subscribe_events(*_FACILITIES):
                changed.set()
        finally:
            looker.cancel()

    async def _find_again(self) -> None:
        waits = list(AGAIN)
        while True:
            await asyncio.sleep(waits.pop(0) if len(waits) > 1 else waits[0])
            with suppress(Unavailable):
                await self._connect()
                return

    # --- What the server says ------------------------------------------------------------

    async def _look(self) -> Offer:
        """Read everything, and return what can be done."""
        pulse = self._connected()
        outputs = await self._devices(pulse, outputs=True)
        inputs = await self._devices(pulse, outputs=False)
        recorders = await _recorders(pulse, inputs)
        return self._report(_direction(outputs), _direction(inputs), recorders, self._server)

    async def _devices(self, pulse: PulseAsync, *, outputs: bool) -> _Devices:
        info = await pulse.server_info()
        if outputs:
            found, default = await pulse.sink_list(), info.default_sink_name
        else:
            sources = await pulse.source_list()
            found = [one for one in sources if one.monitor_of_sink == _NOT_A_MONITOR]
            default = info.default_source_name
        by_name = named((one.description, one.name, one) for one in found)
        chosen = next((name for name, one in by_name.items() if one.name == default), None)
        return _Devices(by_name, chosen)


def _direction(devices: _Devices) -> Direction:
    device = devices.default
    return Direction(
        tuple(devices.by_name),
        devices.chosen,
        _percent(device) if device else None,
        bool(device.mute) if device else None,
    )


async def _recorders(pulse: PulseAsync, inputs: _Devices) -> list[str]:
    """Return the programs that record from a device; level meters do not count."""
    microphones = {device.index for device in inputs.by_name.values()}
    return sorted(
        {
            _program_of(one)
            for one in await pulse.source_output_list()
            if one.source in microphones and not one.corked and one.resample_method != "peaks"
        }
    )


async def _programs(pulse: PulseAsync) -> dict[str, list[Any]]:
    """Return the streams of the programs that play, by the programs' names in their order."""
    programs: dict[str, list[Any]] = {}
    for stream in await pulse.sink_input_list():
        programs.setdefault(_program_of(stream), []).append(stream)
    return dict(sorted(programs.items()))


def _program_of(stream: Any) -> str:  # noqa: ANN401  (a stream of an untyped library)
    """Return what a program calls itself, which stays when it is started anew."""
    properties = stream.proplist
    name = properties.get("application.name") or properties.get("application.process.binary")
    # A module of the server's has neither.
    return program_name(str(name or stream.name))


def _percent(device: Any) -> int | None:  # noqa: ANN401  (sink or source of an untyped library)
    return round(max(device.volume.values) * 100) if device.volume.values else None


def _scaled(values: Sequence[float], wanted: float) -> PulseVolumeInfo:
    loudest = max(values, default=0.0)
    if loudest <= 0:
        return PulseVolumeInfo([wanted] * len(values))
    return PulseVolumeInfo([value * wanted / loudest for value in values])
