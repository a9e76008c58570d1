"""Stand-ins for PyWinRT's packages: the parts of the Windows Runtime that the agent uses.

They are written after the type stubs of PyWinRT 4.1, and prove nothing of Windows itself.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Self
from xml.etree.ElementTree import Element, fromstring

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

ANSWER, DISMISSED, FAILED = "activated", "dismissed", "failed"


def install(monkeypatch: pytest.MonkeyPatch, **namespaces: dict[str, Any]) -> None:
    """Have modules of the runtime be there, `Windows_Media_Control={...}`."""
    monkeypatch.setitem(sys.modules, "winrt", ModuleType("winrt"))
    for name, members in namespaces.items():
        module = ModuleType(f"winrt.{name.lower().replace('_', '.')}")
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, module.__name__, module)


def in_another_thread(call: Callable[..., Any], *args: Any) -> None:
    """Call as Windows does."""
    one = threading.Thread(target=call, args=args)
    one.start()
    one.join()


# --- Notifications ---------------------------------------------------------------------------


class _Document:
    def load_xml(self, xml: str) -> None:
        self.root = fromstring(xml)


class _Boxed:
    def __init__(self, text: str) -> None:
        self.text = text


class Toast:
    """A notification, ToastNotification.

    Attributes:
        content: Its XML, read.
    """

    tag = group = ""

    def __init__(self, document: _Document) -> None:
        self.content: Element = document.root
        self._heard: dict[str, Callable[[Any, Any], None]] = {}

    def add_activated(self, heard: Callable[[Any, Any], None]) -> None:
        self._heard[ANSWER] = heard

    def add_dismissed(self, heard: Callable[[Any, Any], None]) -> None:
        self._heard[DISMISSED] = heard

    def add_failed(self, heard: Callable[[Any, Any], None]) -> None:
        self._heard[FAILED] = heard

    def texts(self) -> list[str | None]:
        return [one.text for one in self.content.iter("text")]

    def answer(self, arguments: str, **typed: str) -> None:
        """Press a button, or send a reply."""
        event = SimpleNamespace(
            arguments=arguments, user_input={name: _Boxed(one) for name, one in typed.items()}
        )
        event.as_ = lambda _: event
        in_another_thread(self._heard[ANSWER], self, event)

    def dismiss(self, reason: int) -> None:
        in_another_thread(self._heard[DISMISSED], self, SimpleNamespace(reason=reason))

    def fail(self, code: int) -> None:
        in_another_thread(self._heard[FAILED], self, SimpleNamespace(error_code=code))


class FakeToasts:
    """What shows notifications: ToastNotificationManager, and its notifier and history.

    Attributes:
        shown: The notifications on the screen and in the notification centre, by their tag.
        setting: Whether they are switched on, NotificationSetting.
        refuses: Whether Windows shows none at all.
        program: What they are shown for.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: dict[str, Toast] = {}
        self.setting = 0
        self.refuses = False
        self.program = ""
        manager = SimpleNamespace(create_toast_notifier=self._notifier, history=self)
        install(
            monkeypatch,
            Windows_UI_Notifications={
                "ToastNotificationManager": manager,
                "ToastNotification": Toast,
                "ToastActivatedEventArgs": object(),
            },
            Windows_Data_Xml_Dom={"XmlDocument": _Document},
            Windows_Foundation_Collections={},
            System={"unbox_string": lambda boxed: boxed.text},
        )

    def show(self, toast: Toast) -> None:
        assert toast.group == "pilot"
        self.shown[toast.tag] = toast

    def remove(self, tag: str, group: str, program: str) -> None:
        assert (group, program) == ("pilot", self.program)
        self.shown.pop(tag, None)

    def _notifier(self, program: str) -> Self:
        if self.refuses:
            raise OSError(-0x7FFB_FEAC, "Class not registered")
        self.program = program
        return self


# --- Media players ---------------------------------------------------------------------------


async def _done(value: Any = True) -> Any:
    await asyncio.sleep(0)
    return value


class _Stream:
    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self.data = data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get_input_stream_at(self, position: int) -> bytes:
        return self.data[position:]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    async def load_async(self, count: int) -> int:
        return min(count, len(self._data))

    def read_bytes(self, found: bytearray) -> None:
        found[:] = self._data[: len(found)]


class FakePlayer:
    """A player, GlobalSystemMediaTransportControlsSession.

    Attributes:
        program: Its AppUserModelID.
        status: Whether it plays: 3 stopped, 4 playing, 5 paused.
        obeys: Whether it does what it says yes to.
        refuses: Whether it says no.
        able: What it can do.
    """

    def __init__(self, program: str, **track: Any) -> None:
        self.source_app_user_model_id = program
        self.status = 5
        self.obeys, self.refuses = True, False
        self.able = {"play", "pause", "next", "playback_position", "shuffle", "repeat"}
        self.track = {"title": "", "artist": "", "album_title": "", "picture": b"", **track}
        self.position, self.length = 12.5, 200.0
        self.said = datetime.now(UTC)
        self.shuffle: bool | None = False
        self.repeat: int | None = 0
        self.asked: list[str] = []
        self._heard: dict[int, Callable[..., None]] = {}

    # What the runtime's object has.

    def get_playback_info(self) -> Any:
        names = (
            "play", "pause", "stop", "next", "previous", "playback_position", "shuffle", "repeat",
        )  # fmt: skip
        return SimpleNamespace(
            playback_status=self.status,
            playback_rate=1.0,
            auto_repeat_mode=self.repeat,
            is_shuffle_active=self.shuffle,
            controls=SimpleNamespace(**{f"is_{one}_enabled": one in self.able for one in names}),
        )

    def get_timeline_properties(self) -> Any:
        return SimpleNamespace(
            start_time=timedelta(),
            end_time=timedelta(seconds=self.length),
            position=timedelta(seconds=self.position),
            last_updated_time=self.said,
        )

    async def try_get_media_properties_async(self) -> Any:
        picture = self.track["picture"]
        stream = SimpleNamespace(open_read_async=lambda: _done(_Stream(picture)))
        return SimpleNamespace(**self.track, thumbnail=stream if picture else None)

    def add_media_properties_changed(self, heard: Callable[..., None]) -> int:
        return self._follow(heard)

    add_playback_info_changed = add_timeline_properties_changed = add_media_properties_changed

    def remove_media_properties_changed(self, token: int) -> None:
        del self._heard[token]

    remove_playback_info_changed = remove_media_properties_changed
    remove_timeline_properties_changed = remove_media_properties_changed

    async def try_play_async(self) -> bool:
        return self._do("play", status=4)

    async def try_pause_async(self) -> bool:
        return self._do("pause", status=5)

    async def try_stop_async(self) -> bool:
        return self._do("stop", status=3)

    async def try_skip_next_async(self) -> bool:
        return self._do("next")

    async def try_skip_previous_async(self) -> bool:
        return self._do("previous")

    async def try_change_playback_position_async(self, ticks: int) -> bool:
        return self._do("seek", position=ticks / 10_000_000, said=datetime.now(UTC))

    async def try_change_shuffle_active_async(self, active: bool) -> bool:
        return self._do("shuffle", shuffle=active)

    async def try_change_auto_repeat_mode_async(self, mode: int) -> bool:
        return self._do("repeat", repeat=mode)

    # What tests do.

    def become(self, **changes: Any) -> None:
        vars(self).update(changes)
        self.tell()

    def tell(self) -> None:
        for heard in list(self._heard.values()):
            in_another_thread(heard, self, None)

    @property
    def followed(self) -> bool:
        return bool(self._heard)

    def _follow(self, heard: Callable[..., None]) -> int:
        token = len(self._heard) + 1
        self._heard[token] = heard
        return token

    def _do(self, what: str, **changes: Any) -> bool:
        self.asked.append(what)
        if self.refuses:
            return False
        if self.obeys:
            self.become(**changes)
        return True


class FakePlayers:
    """Windows' controls of media, GlobalSystemMediaTransportControlsSessionManager.

    Attributes:
        sessions: The players.
        current: The one that Windows takes for the active one.
        refuses: Whether this Windows has none of it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sessions: list[FakePlayer] = []
        self.current: FakePlayer | None = None
        self.refuses = False
        self._heard: Callable[..., None] | None = None
        install(
            monkeypatch,
            Windows_Media_Control={"GlobalSystemMediaTransportControlsSessionManager": self},
            Windows_Media={},
            Windows_Foundation_Collections={},
            Windows_Storage_Streams={"DataReader": _Reader},
        )

    def begin(self, player: FakePlayer) -> FakePlayer:
        self.sessions.append(player)
        self.tell()
        return player

    def end(self, player: FakePlayer) -> None:
        self.sessions.remove(player)
        self.tell()

    def tell(self) -> None:
        if self._heard:
            in_another_thread(self._heard, self, None)

    async def request_async(self) -> Self:
        if self.refuses:
            raise OSError(-0x7FFB_FEAC, "Class not registered")
        return self

    def add_sessions_changed(self, heard: Callable[..., None]) -> int:
        self._heard = heard
        return 1

    def remove_sessions_changed(self, _: int) -> None:
        self._heard = None

    def get_sessions(self) -> list[FakePlayer]:
        return list(self.sessions)

    def get_current_session(self) -> FakePlayer | None:
        return self.current
