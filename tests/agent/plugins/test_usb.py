"""What is plugged into USB: named from sysfs, and heard of by inotify on real folders."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Event, Selection
from companion_agent.plugins.usb import UsbPlugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.agent_machines import FakeMachine
    from support.agent_screen import MachineOf

pytestmark = pytest.mark.proves("usb.*")

RECEIVER = {"device": "Logitech USB Receiver", "code": "046d:c52b"}
KEYBOARD = "sys/bus/usb/devices/3-1"


@pytest.fixture
def thinkpad(machine: MachineOf) -> FakeMachine:
    return machine("thinkpad")


@pytest.fixture
def make_usb(thinkpad: FakeMachine) -> Iterator[Callable[..., UsbPlugin]]:
    made: list[UsbPlugin] = []

    def make(selection: Selection | None = None) -> UsbPlugin:
        made.append(UsbPlugin(thinkpad, selection))
        return made[-1]

    yield make
    for one in made:
        one.close()


def plug_in(machine: FakeMachine, port: str, bus: int, number: int, name: str) -> None:
    """Do what the kernel does, in its order."""
    folder = f"sys/bus/usb/devices/{port}"
    for file, text in {"busnum": bus, "devnum": number, "product": name}.items():
        machine.write(f"{folder}/{file}", f"{text}\n")
    machine.write(f"dev/bus/usb/{bus:03d}/{number:03d}", "")


def heard(usb: UsbPlugin, patience: float = 30) -> bool:
    """Wait until something is heard, and take it, as the event loop does."""
    watch = usb.watch()
    assert watch is not None
    return bool(select.select([watch], [], [], patience)[0]) and watch.changed()


def test_what_is_there_at_first_is_no_news(make_usb: Callable[..., UsbPlugin]) -> None:
    usb = make_usb()

    assert usb.collect() == {"devices": 2, "names": "Logitech USB Receiver, SanDisk Ultra"}
    assert usb.take_events() == []
    assert not heard(usb, patience=0)


def test_a_device_goes_and_comes(make_usb: Callable[..., UsbPlugin], thinkpad: FakeMachine) -> None:
    usb = make_usb()
    usb.collect()

    # The node goes first, and the rest a moment later.
    thinkpad.remove("dev/bus/usb/001/007")
    assert heard(usb)
    assert usb.collect()["devices"] == 1
    assert usb.take_events() == [Event("disconnected", RECEIVER)]

    thinkpad.write("sys/bus/usb/devices/1-4.2/devnum", "8\n")
    thinkpad.write("dev/bus/usb/001/008", "")
    assert heard(usb)
    assert usb.collect()["devices"] == 2
    assert usb.take_events() == [Event("connected", RECEIVER)]
    assert not heard(usb, patience=0)


def test_one_that_was_plugged_in_anew_between_two_looks(
    make_usb: Callable[..., UsbPlugin], thinkpad: FakeMachine
) -> None:
    usb = make_usb()
    usb.collect()

    thinkpad.remove("dev/bus/usb/001/007")
    thinkpad.write("sys/bus/usb/devices/1-4.2/devnum", "8\n")
    thinkpad.write("dev/bus/usb/001/008", "")
    usb.collect()

    assert [event.type for event in usb.take_events()] == ["disconnected", "connected"]


def test_a_bus_that_comes_is_heard_of_too(
    make_usb: Callable[..., UsbPlugin], thinkpad: FakeMachine
) -> None:
    """As with a dock that has its own controller."""
    usb = make_usb()
    usb.collect()
    (thinkpad.root / "dev/bus/usb/003").mkdir()
    assert heard(usb)
    usb.collect()

    plug_in(thinkpad, "3-1", 3, 2, "Keyboard, black")

    assert heard(usb)
    assert usb.collect()["names"] == "Keyboard black, Logitech USB Receiver, SanDisk Ultra"
    assert usb.take_events() == [Event("connected", {"device": "Keyboard, black", "code": ""})]


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(exclude=("Logitech*",)), "SanDisk Ultra"),
        (Selection(include=("*Hub",)), "USB2.0 Hub"),
        (Selection(include=("Nothing",)), ""),
    ],
)
def test_what_is_selected(
    make_usb: Callable[..., UsbPlugin],
    thinkpad: FakeMachine,
    selection: Selection,
    names: str,
) -> None:
    usb = make_usb(selection)
    assert usb.collect()["names"] == names

    thinkpad.remove("dev/bus/usb/001/007")
    usb.collect()
    assert usb.take_events() == []


def test_where_nothing_tells_it_is_looked_for(
    make_usb: Callable[..., UsbPlugin], thinkpad: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    usb = make_usb()
    monkeypatch.setattr(thinkpad, "usb_watch", lambda: None)
    usb.collect()
    assert (usb.watch(), usb.pace(usb.interval)) == (None, 60)

    monkeypatch.undo()
    usb.collect()
    assert usb.pace(usb.interval) == usb.interval


def test_a_machine_without_usb(machine: MachineOf) -> None:
    with pytest.raises(Unavailable, match="no USB"):
        UsbPlugin(machine("container")).collect()
