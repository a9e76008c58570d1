"""Devices for sound, their volume, and the programs that use them: Core Audio.

The default device is chosen by `IPolicyConfig`, which Microsoft does not document: the control
panel, and every program that switches devices, has used it since Windows 7. Sources: Microsoft's
reference of mmdeviceapi.h, endpointvolume.h, audiopolicy.h and propsys.h; for `IPolicyConfig` the
header of AudioEndPointController (github.com/DanStevens/AudioEndPointController).
"""

from __future__ import annotations

from contextlib import suppress
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_float,
    c_int,
    c_int32,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
    c_wchar_p,
    wstring_at,
)
from typing import TYPE_CHECKING
from uuid import UUID

from companion_agent.winapi import com
from companion_agent.winapi.com import Method, Object, PropertyKey, Sink
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Callable

OUTPUT, INPUT = 0, 1
"""Directions, EDataFlow."""
INACTIVE, ACTIVE, EXPIRED = 0, 1, 2
"""What becomes of a session, AudioSessionState."""

_PLUGGED_IN = 0x1
# What programs mean that do not ask for anything else, and those for music and for calls.
_CONSOLE, _MULTIMEDIA, _COMMUNICATIONS = 0, 1, 2
# ERROR_NOT_FOUND as an HRESULT.
_NOT_FOUND = 0x8007_0490 - 2**32
_TEXT = 31
_READ = 0

ENUMERATOR_CLASS = UUID("bcde0395-e52f-467c-8e3d-c4579291692e")
_ENUMERATOR = UUID("a95664d2-9614-4f35-a746-de8db63617e6")
POLICY_CLASS = UUID("870af99c-171d-4f9e-af0d-e63df40c2bc9")
_POLICY = UUID("f8679f50-850a-41cf-9c72-430f290290c8")
VOLUME_INTERFACE = UUID("5cdf2c82-841e-4546-9722-0cf74078229a")
SESSIONS_INTERFACE = UUID("77aa99a0-1bd6-484f-8bc7-2c654c9a9b6f")
SESSION_INTERFACE = UUID("bfb7ff88-7239-4fc9-8fa2-07c950be9c6d")
SESSION_VOLUME_INTERFACE = UUID("87ce5498-68d6-44e5-9215-6da47ef883d8")
_DEVICE_EVENTS = UUID("7991eec9-7e89-4d85-8390-6c703cec60c0")
_VOLUME_EVENTS = UUID("657804fa-d6ad-4496-8a60-352752af4f89")
_NEW_SESSIONS = UUID("641dd20b-4d41-49cc-aba3-174b9477bb08")
_SESSION_EVENTS = UUID("24918acc-64b3-37c1-8ca9-74a66e9957a8")
_FRIENDLY_NAME = PropertyKey.of(UUID("a45c254e-df1c-4efd-8020-67d146a850e0"), 14)


class _Variant(Structure):
    """PROPVARIANT, as far as it is a text."""

    _fields_ = (
        ("kind", c_uint16),
        ("reserved", c_uint16 * 3),
        ("value", c_void_p),
        ("second", c_uint64),
    )


_PropVariantClear = Function("ole32", "PropVariantClear", c_int32, POINTER(_Variant))

EnumAudioEndpoints = Method(
    "IMMDeviceEnumerator.EnumAudioEndpoints", 3, c_int, c_uint32, POINTER(c_void_p)
)
GetDefaultAudioEndpoint = Method(
    "IMMDeviceEnumerator.GetDefaultAudioEndpoint", 4, c_int, c_int, POINTER(c_void_p)
)
RegisterEndpointNotificationCallback = Method(
    "IMMDeviceEnumerator.RegisterEndpointNotificationCallback", 6, c_void_p
)
UnregisterEndpointNotificationCallback = Method(
    "IMMDeviceEnumerator.UnregisterEndpointNotificationCallback", 7, c_void_p
)
GetDeviceCount = Method("IMMDeviceCollection.GetCount", 3, POINTER(c_uint32))
GetDeviceItem = Method("IMMDeviceCollection.Item", 4, c_uint32, POINTER(c_void_p))
Activate = Method("IMMDevice.Activate", 3, c_void_p, c_uint32, c_void_p, POINTER(c_void_p))
OpenPropertyStore = Method("IMMDevice.OpenPropertyStore", 4, c_uint32, POINTER(c_void_p))
GetId = Method("IMMDevice.GetId", 5, POINTER(c_void_p))
GetValue = Method("IPropertyStore.GetValue", 5, POINTER(PropertyKey), POINTER(_Variant))
RegisterControlChangeNotify = Method(
    "IAudioEndpointVolume.RegisterControlChangeNotify", 3, c_void_p
)
UnregisterControlChangeNotify = Method(
    "IAudioEndpointVolume.UnregisterControlChangeNotify", 4, c_void_p
)
SetMasterVolumeLevelScalar = Method(
    "IAudioEndpointVolume.SetMasterVolumeLevelScalar", 7, c_float, c_void_p
)
GetMasterVolumeLevelScalar = Method(
    "IAudioEndpointVolume.GetMasterVolumeLevelScalar", 9, POINTER(c_float)
)
SetEndpointMute = Method("IAudioEndpointVolume.SetMute", 14, c_int, c_void_p)
GetEndpointMute = Method("IAudioEndpointVolume.GetMute", 15, POINTER(c_int))
GetSessionEnumerator = Method("IAudioSessionManager2.GetSessionEnumerator", 5, POINTER(c_void_p))
RegisterSessionNotification = Method(
    "IAudioSessionManager2.RegisterSessionNotification", 6, c_void_p
)
UnregisterSessionNotification = Method(
    "IAudioSessionManager2.UnregisterSessionNotification", 7, c_void_p
)
GetSessionCount = Method("IAudioSessionEnumerator.GetCount", 3, POINTER(c_int))
GetSession = Method("IAudioSessionEnumerator.GetSession", 4, c_int, POINTER(c_void_p))
GetSessionState = Method("IAudioSessionControl.GetState", 3, POINTER(c_int))
RegisterAudioSessionNotification = Method(
    "IAudioSessionControl.RegisterAudioSessionNotification", 10, c_void_p
)
UnregisterAudioSessionNotification = Method(
    "IAudioSessionControl.UnregisterAudioSessionNotification", 11, c_void_p
)
GetProcessId = Method("IAudioSessionControl2.GetProcessId", 14, POINTER(c_uint32))
IsSystemSoundsSession = Method("IAudioSessionControl2.IsSystemSoundsSession", 15)
SetSessionVolume = Method("ISimpleAudioVolume.SetMasterVolume", 3, c_float, c_void_p)
GetSessionVolume = Method("ISimpleAudioVolume.GetMasterVolume", 4, POINTER(c_float))
SetSessionMute = Method("ISimpleAudioVolume.SetMute", 5, c_int, c_void_p)
GetSessionMute = Method("ISimpleAudioVolume.GetMute", 6, POINTER(c_int))
SetDefaultEndpoint = Method("IPolicyConfig.SetDefaultEndpoint", 13, c_wchar_p, c_int)

OnDeviceEvent = (
    Method("IMMNotificationClient.OnDeviceStateChanged", 3, c_void_p, c_uint32),
    Method("IMMNotificationClient.OnDeviceAdded", 4, c_void_p),
    Method("IMMNotificationClient.OnDeviceRemoved", 5, c_void_p),
    Method("IMMNotificationClient.OnDefaultDeviceChanged", 6, c_int, c_int, c_void_p),
    # A key of 20 bytes comes as its address.
    Method("IMMNotificationClient.OnPropertyValueChanged", 7, c_void_p, c_void_p),
)
OnNotify = Method("IAudioEndpointVolumeCallback.OnNotify", 3, c_void_p)
OnSessionCreated = Method("IAudioSessionNotification.OnSessionCreated", 3, c_void_p)
OnStateChanged = Method("IAudioSessionEvents.OnStateChanged", 8, c_int)
_OnOtherSessionEvent = (
    Method("IAudioSessionEvents.OnDisplayNameChanged", 3, c_wchar_p, c_void_p),
    Method("IAudioSessionEvents.OnIconPathChanged", 4, c_wchar_p, c_void_p),
    Method("IAudioSessionEvents.OnSimpleVolumeChanged", 5, c_float, c_int, c_void_p),
    Method("IAudioSessionEvents.OnChannelVolumeChanged", 6, c_uint32, c_void_p, c_uint32, c_void_p),
    Method("IAudioSessionEvents.OnGroupingParamChanged", 7, c_void_p, c_void_p),
)
_OnSessionDisconnected = Method("IAudioSessionEvents.OnSessionDisconnected", 9, c_int)


class Volume(Object):
    """IAudioEndpointVolume: the volume of a device."""

    def level(self) -> float:
        """Return the volume, 0 to 1, as the system's own slider shows it."""
        found = c_float()
        GetMasterVolumeLevelScalar(self, byref(found))
        return found.value

    def set_level(self, level: float) -> None:
        """Set the volume, 0 to 1; the balance stays."""
        SetMasterVolumeLevelScalar(self, level, None)

    def muted(self) -> bool:
        """Tell whether it is muted."""
        found = c_int()
        GetEndpointMute(self, byref(found))
        return bool(found.value)

    def mute(self, muted: bool) -> None:
        """Mute it, or no more."""
        SetEndpointMute(self, int(muted), None)

    def follow(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have something called, in a thread of Windows', when volume or mute have changed.

        Returns:
            What ends it.
        """
        sink = Sink(_VOLUME_EVENTS, {OnNotify: lambda _: changed()})
        RegisterControlChangeNotify(self, sink.address)
        return lambda: _end(UnregisterControlChangeNotify, self, sink)


class Session(Object):
    """IAudioSessionControl2: what a program plays or records at one device."""

    def state(self) -> int:
        """Return whether it is heard now: `INACTIVE`, `ACTIVE` or `EXPIRED`."""
        found = c_int()
        GetSessionState(self, byref(found))
        return found.value

    def process(self) -> int:
        """Return the process; 0 where several share it."""
        found = c_uint32()
        GetProcessId(self, byref(found))
        return found.value

    def is_system(self) -> bool:
        """Tell whether it is that of Windows' own sounds."""
        return IsSystemSoundsSession(self) == 0

    def volume(self) -> SessionVolume:
        """Return its volume."""
        return SessionVolume(self.query(SESSION_VOLUME_INTERFACE))

    def follow(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have something called, in a thread of Windows', when it begins or ends to be heard.

        Returns:
            What ends it.
        """

        def other(*_: object) -> None:
            """Nothing that is asked for."""

        methods: dict[Method, Callable[..., object]] = dict.fromkeys(_OnOtherSessionEvent, other)
        methods[OnStateChanged] = methods[_OnSessionDisconnected] = lambda _: changed()
        sink = Sink(_SESSION_EVENTS, methods)
        RegisterAudioSessionNotification(self, sink.address)
        return lambda: _end(UnregisterAudioSessionNotification, self, sink)


class SessionVolume(Object):
    """ISimpleAudioVolume: the volume of one program at one device."""

    def level(self) -> float:
        """Return the volume, 0 to 1."""
        found = c_float()
        GetSessionVolume(self, byref(found))
        return found.value

    def set_level(self, level: float) -> None:
        """Set the volume, 0 to 1."""
        SetSessionVolume(self, level, None)

    def muted(self) -> bool:
        """Tell whether it is muted."""
        found = c_int()
        GetSessionMute(self, byref(found))
        return bool(found.value)

    def mute(self, muted: bool) -> None:
        """Mute it, or no more."""
        SetSessionMute(self, int(muted), None)


class Sessions(Object):
    """IAudioSessionManager2: the programs at one device, of this session of Windows alone."""

    def all(self) -> list[Session]:
        """Return those that there are; from then on those that come are told."""
        found, count = c_void_p(), c_int()
        GetSessionEnumerator(self, byref(found))
        sessions = []
        with Object(found) as listed:
            GetSessionCount(listed, byref(count))
            for number in range(count.value):
                one = c_void_p()
                GetSession(listed, number, byref(one))
                with Object(one) as control:
                    sessions.append(Session(control.query(SESSION_INTERFACE)))
        return sessions

    def follow(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have something called, in a thread of Windows', when another program comes.

        Returns:
            What ends it.
        """
        sink = Sink(_NEW_SESSIONS, {OnSessionCreated: lambda _: changed()})
        RegisterSessionNotification(self, sink.address)
        return lambda: _end(UnregisterSessionNotification, self, sink)


class Device(Object):
    """IMMDevice: something that plays or records."""

    def identity(self) -> str:
        """Return what tells it from others, and stays."""
        found = c_void_p()
        GetId(self, byref(found))
        return com.take_text(found)

    def name(self) -> str:
        """Return what Windows calls it; empty where it says nothing."""
        store, value = c_void_p(), _Variant()
        OpenPropertyStore(self, _READ, byref(store))
        with Object(store) as properties:
            GetValue(properties, byref(_FRIENDLY_NAME), byref(value))
        text = wstring_at(value.value) if value.kind == _TEXT and value.value else ""
        _PropVariantClear(byref(value))
        return text

    def volume(self) -> Volume:
        """Return its volume."""
        return Volume(self._activate(VOLUME_INTERFACE))

    def sessions(self) -> Sessions:
        """Return the programs that use it."""
        return Sessions(self._activate(SESSIONS_INTERFACE))

    def _activate(self, interface: UUID) -> c_void_p:
        found = c_void_p()
        Activate(self, interface.bytes_le, com.IN_PROCESS, None, byref(found))
        return found


class Devices(Object):
    """IMMDeviceEnumerator: all devices.

    Raises:
        OSError: This Windows has no Core Audio.
    """

    def __init__(self) -> None:
        super().__init__(com.create(ENUMERATOR_CLASS, _ENUMERATOR))

    def all(self, direction: int) -> list[Device]:
        """Return the devices of a direction that are plugged in and not switched off."""
        found, count = c_void_p(), c_uint32()
        EnumAudioEndpoints(self, direction, _PLUGGED_IN, byref(found))
        devices = []
        with Object(found) as listed:
            GetDeviceCount(listed, byref(count))
            for number in range(count.value):
                one = c_void_p()
                GetDeviceItem(listed, number, byref(one))
                devices.append(Device(one))
        return devices

    def default(self, direction: int) -> str:
        """Return which device is used where a program asks for none; empty without any."""
        found = c_void_p()
        try:
            GetDefaultAudioEndpoint(self, direction, _CONSOLE, byref(found))
        except OSError as error:
            if getattr(error, "winerror", 0) == _NOT_FOUND:
                return ""
            raise
        with Device(found) as device:
            return device.identity()

    def follow(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have something called, in a thread of Windows', when devices or the default change.

        Returns:
            What ends it.
        """
        sink = Sink(_DEVICE_EVENTS, dict.fromkeys(OnDeviceEvent, lambda *_: changed()))
        RegisterEndpointNotificationCallback(self, sink.address)
        return lambda: _end(UnregisterEndpointNotificationCallback, self, sink)


class DefaultDevices(Object):
    """IPolicyConfig: chooses the default devices.

    Raises:
        OSError: This Windows does not know it.
    """

    def __init__(self) -> None:
        super().__init__(com.create(POLICY_CLASS, _POLICY))

    def choose(self, identity: str) -> None:
        """Make a device that of all programs that ask for none, for calls as well."""
        for role in (_CONSOLE, _MULTIMEDIA, _COMMUNICATIONS):
            SetDefaultEndpoint(self, identity, role)


def _end(method: Method, instance: Object, sink: Sink) -> None:
    # What has gone tells nothing more.
    with suppress(OSError):
        method(instance, sink.address)
