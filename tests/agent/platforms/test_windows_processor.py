"""The power plans of a Windows machine, and the processor's limits in them."""

from __future__ import annotations

import ctypes
from typing import Any
from uuid import UUID

import pytest

from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.platforms.windows.processor import WindowsProcessor
from companion_agent.plugins.processor.plugin import ProcessorPlugin
from companion_agent.winapi.power_plans import BALANCED, BOOST_MODE, MAXIMUM, MINIMUM, POWER_SAVER
from support.agent_windows import FakeRegistryKey
from support.windows_api import FakeWindows

OWN = UUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")


class Plans:
    """The plans of a machine with a processor of 2.4 GHz."""

    def __init__(self, windows: FakeWindows) -> None:
        self.windows = windows
        self.registry = FakeRegistryKey(windows)
        self.names = {BALANCED: "Ausbalanciert", POWER_SAVER: "Energiesparmodus", OWN: "Leise"}
        self.active = BALANCED
        self.values = {
            (plan, setting, plugged): value
            for plan in self.names
            for setting, value in ((MINIMUM, 5), (MAXIMUM, 100), (BOOST_MODE, 4))
            for plugged in (True, False)
        }
        self.plugged = 1
        self.refuses = self.denied = 0
        self.keeps = False
        self._kept: list[object] = []
        windows.functions.update(
            {
                "powrprof.PowerGetActiveScheme": self._get_active,
                "powrprof.PowerSetActiveScheme": self._set_active,
                "powrprof.PowerEnumerate": self._enumerate,
                "powrprof.PowerReadFriendlyName": self._name,
                "powrprof.PowerReadACValueIndex": lambda *where: self._read(True, *where),
                "powrprof.PowerReadDCValueIndex": lambda *where: self._read(False, *where),
                "powrprof.PowerWriteACValueIndex": lambda *where: self._write(True, *where),
                "powrprof.PowerWriteDCValueIndex": lambda *where: self._write(False, *where),
                "powrprof.PowerSettingAccessCheckEx": lambda *_: self.denied,
                "powrprof.CallNtPowerInformation": self._processors,
                "kernel32.LocalFree": lambda _: None,
                "kernel32.GetSystemPowerStatus": self._power_status,
            }
        )

    def restart_windows(self) -> None:
        """Forget what a volatile key holds."""
        del self.registry.values["processor is set"]

    def _get_active(self, _root: Any, found: Any) -> int:
        guid = ctypes.create_string_buffer(self.active.bytes_le, 16)
        self._kept.append(guid)
        found.value = ctypes.addressof(guid)
        return 0

    def _set_active(self, _root: Any, guid: Any) -> int:
        if not self.keeps:
            self.active = UUID(bytes_le=bytes(guid))
        return self.refuses

    def _enumerate(self, *asked: Any) -> int:
        at, guid = asked[4], asked[5]
        if at >= len(self.names):
            return 259
        ctypes.memmove(guid, list(self.names)[at].bytes_le, 16)
        return 0

    def _name(self, _root: Any, guid: Any, *rest: Any) -> int:
        text = f"{self.names[UUID(bytes_le=bytes(guid))]}\0".encode("utf-16-le")
        ctypes.memmove(rest[2], text, len(text))
        rest[3].value = len(text)
        return 0

    def _place(self, plugged: bool, plan: Any, setting: Any) -> tuple[UUID, UUID, bool]:
        return UUID(bytes_le=bytes(plan)), UUID(bytes_le=bytes(setting)), plugged

    def _read(self, plugged: bool, _: Any, plan: Any, _group: Any, setting: Any, value: Any) -> int:
        place = self._place(plugged, plan, setting)
        if place not in self.values:
            return 2
        value.value = self.values[place]
        return 0

    def _write(self, plugged: bool, _: Any, plan: Any, _group: Any, setting: Any, to: int) -> int:
        if self.refuses:
            return self.refuses
        if not self.keeps:
            self.values[self._place(plugged, plan, setting)] = to
        return 0

    def _processors(self, level: int, _in: Any, _size: int, found: Any, _: int) -> int:
        assert level == 11
        found[0].maximum = 2400
        return 0

    def _power_status(self, found: Any) -> int:
        found.on_line = self.plugged
        return 1


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    return Plans(FakeWindows().install(monkeypatch))


@pytest.fixture
def processor(plans: Plans) -> WindowsProcessor:
    return WindowsProcessor()


def values() -> dict[str, Any]:
    return dict(ProcessorPlugin(WindowsPlatform()).collect())


def test_plans_have_the_words_of_linux_and_their_own(
    plans: Plans, processor: WindowsProcessor
) -> None:
    profile = processor.state().settings["profile"]

    assert profile.value == "balanced"
    assert profile.options == ("balanced", "power-saver", "Leise")


def test_limits_are_read_of_the_power_that_there_is(plans: Plans) -> None:
    plans.values[BALANCED, MAXIMUM, False] = 60

    assert values() == {
        "profile": "balanced",
        "minimum_frequency": 120,
        "maximum_frequency": 2400,
        "boost": True,
    }
    plans.plugged = 0
    assert values()["maximum_frequency"] == 1440


def test_a_plan_is_chosen(plans: Plans, processor: WindowsProcessor) -> None:
    processor.set("profile", "power-saver")

    assert plans.active == POWER_SAVER
    with pytest.raises(CommandError, match="no power plan"):
        processor.set("profile", "performance")


def test_a_limit_holds_with_and_without_external_power(
    plans: Plans, processor: WindowsProcessor
) -> None:
    processor.set("maximum_frequency", 1200)

    assert plans.values[BALANCED, MAXIMUM, True] == 50
    assert plans.values[BALANCED, MAXIMUM, False] == 50
    assert plans.values[POWER_SAVER, MAXIMUM, True] == 100


def test_boost_comes_back_as_it_was(plans: Plans, processor: WindowsProcessor) -> None:
    processor.set("boost", 0)
    assert plans.values[BALANCED, BOOST_MODE, True] == 0
    assert processor.state().settings["boost"].value is False

    processor.set("boost", 1)

    assert plans.values[BALANCED, BOOST_MODE, True] == 4


def test_what_was_found_is_put_back_when_the_agent_leaves(
    plans: Plans, processor: WindowsProcessor
) -> None:
    before = dict(plans.values)
    processor.set("maximum_frequency", 1200)
    processor.set("profile", "power-saver")
    processor.set("maximum_frequency", 600)
    processor.set("maximum_frequency", 240)

    WindowsPlatform().leave()

    assert plans.values == before
    assert plans.active == BALANCED
    assert not processor.restore(), "nothing is left to put back"


def test_what_a_power_cut_left_is_put_back(plans: Plans, processor: WindowsProcessor) -> None:
    processor.set("maximum_frequency", 240)
    assert WindowsProcessor().state().settings["maximum_frequency"].value == 240, "a mere restart"
    plans.restart_windows()

    state = WindowsProcessor().state()

    assert state.settings["maximum_frequency"].value == 2400


def test_what_another_program_sets_is_said(plans: Plans, processor: WindowsProcessor) -> None:
    processor.set("maximum_frequency", 1200)
    assert processor.overwritten() == {}

    plans.values[BALANCED, MAXIMUM, True] = 80

    assert processor.overwritten() == {
        "maximum_frequency of the plan balanced, with external power": "was set to 50 and is 80"
    }


@pytest.mark.parametrize(
    ("code", "reason", "fix"),
    [(5, "administrator", "deny the agent"), (1260, "policy", "group policy")],
)
def test_a_missing_permission_is_named(
    plans: Plans, processor: WindowsProcessor, code: int, reason: str, fix: str
) -> None:
    plans.denied = plans.refuses = code

    missing = processor.state().settings["maximum_frequency"].missing

    assert missing is not None
    assert (missing.reason, fix in missing.fix) == (reason, True)
    with pytest.raises(CommandError, match=fix) as refused:
        processor.set("maximum_frequency", 1200)
    assert refused.value.reason == "not_permitted"
    assert processor.overwritten() == {}, "nothing was set"


@pytest.mark.parametrize(("name", "value"), [("profile", "power-saver"), ("boost", 0)])
def test_what_windows_accepts_and_does_not_do_has_failed(
    plans: Plans, processor: WindowsProcessor, name: Any, value: str | float
) -> None:
    plans.keeps = True

    with pytest.raises(CommandError, match="Windows accepted"):
        processor.set(name, value)

    assert not processor.restore()


def test_a_plan_without_a_setting_does_not_offer_it(
    plans: Plans, processor: WindowsProcessor
) -> None:
    plans.values = {place: value for place, value in plans.values.items() if place[1] != BOOST_MODE}
    del plans.windows.functions["powrprof.CallNtPowerInformation"]

    assert list(processor.state().settings) == ["profile"]


def test_a_windows_without_plans(plans: Plans, processor: WindowsProcessor) -> None:
    del plans.windows.functions["powrprof.PowerEnumerate"]

    with pytest.raises(Unavailable, match="power plans"):
        processor.state()


def test_a_plan_that_could_not_be_put_back_is_named(
    plans: Plans, processor: WindowsProcessor
) -> None:
    processor.set("boost", 0)
    plans.refuses = 5

    with pytest.raises(CommandError, match="not put back: boost of the plan balanced"):
        processor.restore()
