"""Core Audio that tests play: devices, their volumes, the programs that play and record."""

from __future__ import annotations

from ctypes import addressof, create_unicode_buffer, string_at
import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID

from companion_agent.winapi import audio
from companion_agent.winapi.com import Object

from .windows_com import FakeCom, FakeObject

if TYPE_CHECKING:
    from companion_agent.winapi.com import Method

    from .windows_api import FakeWindows

_NOT_FOUND = 0x8007_0490 - 2**32
_TEXT = 31
_REFUSED = -0x7FFF_BFFB


class _Sinks:
    """Who is told of something."""

    def __init__(self) -> None:
        self.addresses: list[int] = []

    def tell(self, method: Method, *arguments: Any) -> None:
        """Call them, as Windows does: in another thread."""
        for address in list(self.addresses):
            one = threading.Thread(target=method, args=(Object(address), *arguments))
            one.start()
            one.join()


class FakeProgram(FakeObject):
    """A program at a device.

    Attributes:
        process: Its process.
        level: Its volume.
        muted: Whether it is muted.
    """

    def __init__(self, process: int, state: int = audio.ACTIVE, *, system: bool = False) -> None:
        self.process = process
        self.state = state
        self.level = 1.0
        self.muted = False
        self.sinks = _Sinks()
        volume = FakeObject(
            {
                audio.SetSessionVolume: lambda level, _: self._set(level=level),
                audio.GetSessionVolume: lambda found: found.__setitem__(0, self.level),
                audio.SetSessionMute: lambda muted, _: self._set(muted=bool(muted)),
                audio.GetSessionMute: lambda found: found.__setitem__(0, self.muted),
            }
        )
        self.parts = [volume, self]
        super().__init__(
            {
                audio.GetSessionState: lambda found: found.__setitem__(0, self.state),
                audio.GetProcessId: lambda found: found.__setitem__(0, self.process),
                audio.IsSystemSoundsSession: lambda: 0 if system else 1,
                audio.RegisterAudioSessionNotification: self.sinks.addresses.append,
                audio.UnregisterAudioSessionNotification: self.sinks.addresses.remove,
            },
            {audio.SESSION_VOLUME_INTERFACE: volume},
        )
        self.others[audio.SESSION_INTERFACE] = self

    def become(self, state: int) -> None:
        """Begin, or end, to be heard."""
        self.state = state
        self.sinks.tell(audio.OnStateChanged, state)

    def _set(self, **changes: Any) -> None:
        vars(self).update(changes)


class FakeDevice(FakeObject):
    """A device.

    Attributes:
        name: What it is called.
        identity: What tells it from others.
        level: Its volume.
        muted: Whether it is muted.
        programs: Those that use it.
        obeys: Whether it does what it is told.
    """

    def __init__(self, sound: FakeSound, name: str, identity: str) -> None:
        self.name = name
        self.identity = identity
        self.level = 0.5
        self.muted = False
        self.programs: list[FakeProgram] = []
        self.obeys = True
        self.volume_sinks, self.session_sinks = _Sinks(), _Sinks()
        volume = FakeObject(
            {
                audio.SetMasterVolumeLevelScalar: lambda level, _: self._set(level=level),
                audio.GetMasterVolumeLevelScalar: lambda found: found.__setitem__(0, self.level),
                audio.SetEndpointMute: lambda muted, _: self._set(muted=bool(muted)),
                audio.GetEndpointMute: lambda found: found.__setitem__(0, self.muted),
                audio.RegisterControlChangeNotify: self.volume_sinks.addresses.append,
                audio.UnregisterControlChangeNotify: self.volume_sinks.addresses.remove,
            }
        )
        properties = FakeObject({audio.GetValue: self._name})
        listed = FakeObject(
            {
                audio.GetSessionCount: lambda found: found.__setitem__(0, len(self.programs)),
                audio.GetSession: lambda number, found: self.programs[number].give(found),
            }
        )
        sessions = FakeObject(
            {
                audio.GetSessionEnumerator: listed.give,
                audio.RegisterSessionNotification: self.session_sinks.addresses.append,
                audio.UnregisterSessionNotification: self.session_sinks.addresses.remove,
            }
        )
        self.parts = [volume, properties, listed, sessions, self]
        activated = {
            audio.VOLUME_INTERFACE: volume,
            audio.SESSIONS_INTERFACE: sessions,
        }
        super().__init__(
            {
                audio.Activate: lambda interface, _, __, found: activated[
                    _interface(interface)
                ].give(found),
                audio.OpenPropertyStore: lambda _, found: properties.give(found),
                audio.GetId: lambda found: sound.com.give_text(self.identity, found),
            }
        )

    def turn(self, level: float) -> None:
        """Turn it by its own knob."""
        self.level = level
        self.volume_sinks.tell(audio.OnNotify, None)

    def begin(self, program: FakeProgram) -> None:
        """Have a program use it."""
        self.programs.append(program)
        self.session_sinks.tell(audio.OnSessionCreated, program.address)

    def _name(self, _: Any, found: Any) -> None:
        self._text = create_unicode_buffer(self.name)
        found[0].kind = _TEXT
        found[0].value = addressof(self._text)

    def _set(self, **changes: Any) -> int:
        if not self.obeys:
            return _REFUSED
        vars(self).update(changes)
        self.volume_sinks.tell(audio.OnNotify, None)
        return 0


class FakeSound:
    """All devices.

    Attributes:
        devices: Those of each direction.
        default: The default one of each direction, by its identity.
        com: Makes the objects.
        serves: Whether the audio service runs.
    """

    def __init__(self, windows: FakeWindows) -> None:
        self.com = FakeCom(windows)
        self.devices: tuple[list[FakeDevice], list[FakeDevice]] = ([], [])
        self.default = ["", ""]
        self.serves = True
        self._sinks = _Sinks()
        self._listed: list[FakeObject] = []
        enumerator = FakeObject(
            {
                audio.EnumAudioEndpoints: self._list,
                audio.GetDefaultAudioEndpoint: self._default,
                audio.RegisterEndpointNotificationCallback: self._sinks.addresses.append,
                audio.UnregisterEndpointNotificationCallback: self._sinks.addresses.remove,
            }
        )
        self._chooser = FakeObject({audio.SetDefaultEndpoint: self._choose})
        self.com.classes = {
            audio.ENUMERATOR_CLASS: enumerator,
            audio.POLICY_CLASS: self._chooser,
        }
        self._enumerator = enumerator
        windows.functions["ole32.PropVariantClear"] = lambda _: 0

    def plug_in(self, direction: int, name: str, *, default: bool = False) -> FakeDevice:
        """Plug a device in."""
        made = FakeDevice(self, name, f"{{0.0.{direction}}}.{len(self.devices[direction])}")
        self.devices[direction].append(made)
        if default:
            self.default[direction] = made.identity
        self.tell()
        return made

    def tell(self) -> None:
        """Tell that there are other devices."""
        self._sinks.tell(audio.OnDeviceEvent[1], None)

    def forget_chooser(self) -> None:
        """Be a Windows that lets no program choose a default device."""
        del self.com.classes[audio.POLICY_CLASS]

    def held(self) -> int:
        """Return how many objects, texts and callbacks were not given back."""
        devices = [one for some in self.devices for one in some]
        programs = [one for device in devices for one in device.programs]
        objects = [
            self._enumerator, self._chooser, *self._listed,
            *(part for one in (*devices, *programs) for part in one.parts),
        ]  # fmt: skip
        sinks = [
            self._sinks,
            *(one for device in devices for one in (device.volume_sinks, device.session_sinks)),
            *(one.sinks for one in programs),
        ]
        return (
            sum(one.references for one in objects)
            + sum(len(one.addresses) for one in sinks)
            + len(self.com.texts)
        )

    def _list(self, direction: int, _: int, found: Any) -> int:
        if not self.serves:
            return _REFUSED
        devices = list(self.devices[direction])
        listed = FakeObject(
            {
                audio.GetDeviceCount: lambda count: count.__setitem__(0, len(devices)),
                audio.GetDeviceItem: lambda number, one: devices[number].give(one),
            }
        )
        self._listed.append(listed)
        return listed.give(found)

    def _default(self, direction: int, _: int, found: Any) -> int:
        for device in self.devices[direction]:
            if device.identity == self.default[direction]:
                return device.give(found)
        return _NOT_FOUND

    def _choose(self, identity: str, _: int) -> None:
        for direction, devices in enumerate(self.devices):
            if identity in [one.identity for one in devices]:
                self.default[direction] = identity
        self.tell()


def _interface(address: int) -> UUID:
    return UUID(bytes_le=string_at(address, 16))
