"""Wi-Fi by netlink, with a kernel that answers as the real one does."""

from __future__ import annotations

import struct

import pytest

from companion_agent.platforms.linux import netlink, nl80211
from companion_agent.platforms.linux.files import Files
from companion_agent.platforms.linux.wifi import Wifi

pytestmark = pytest.mark.proves("wifi.*")

FAMILY = 28
DONE = struct.pack("=i", 0)


class Kernel:
    """The other end of a netlink socket.

    Attributes:
        ssid: The network that interface 3 is in; `None` while it is not connected.
        signal: Its signal in dBm; an access point's is its first client's.
        kind: The type of the interface: 2 for a client, 3 for an access point.
        opened: How often a socket was opened.
        refuses: Error number that requests about Wi-Fi are answered with; 0 for none.
    """

    def __init__(self) -> None:
        self.ssid: bytes | None = b"Homenet"
        self.signal = -52
        self.kind = 2
        self.opened = 0
        self.refuses = 0
        self._answers: list[bytes] = []

    def open(self) -> Kernel:
        self.opened += 1
        self._answers = []
        return self

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0

    def close(self) -> None:
        self._answers = []

    def recv(self, size: int) -> bytes:
        assert size >= 32768
        return self._answers.pop(0)

    def send(self, data: bytes) -> None:
        ((kind, sequence, payload),) = netlink.messages(data)
        attributes = nl80211.attributes(payload[4:])
        if kind == 16:
            assert attributes == {2: b"nl80211\0"}
            self._say(16, sequence, nl80211.attribute(1, struct.pack("=H", FAMILY)))
        elif self.refuses:
            self._answers.append(_message(2, sequence, struct.pack("=i", -self.refuses)))
        elif payload[0] == 5:
            assert attributes == {3: struct.pack("=I", 3)}
            name = b"" if self.ssid is None else nl80211.attribute(52, self.ssid)
            kind = nl80211.attribute(5, struct.pack("=I", self.kind))
            self._say(FAMILY, sequence, nl80211.attribute(4, b"wlan0\0") + kind + name)
        elif payload[0] == 17:
            if self.ssid is not None:
                info = nl80211.attribute(13, struct.pack("b", self.signal))
                station = nl80211.attribute(6, bytes(6)) + nl80211.attribute(21, info)
                self._say(FAMILY, sequence, station)
            self._answers.append(_message(3, sequence, DONE))

    def _say(self, kind: int, sequence: int, attributes: bytes) -> None:
        # The answer to an earlier request may still lie in the socket.
        late = _message(kind, sequence - 1, struct.pack("=BBH", 1, 1, 0))
        self._answers.append(late + _message(kind, sequence, bytes(4) + attributes))


def _message(kind: int, sequence: int, payload: bytes) -> bytes:
    data = struct.pack("=IHHII", 16 + len(payload), kind, 0, sequence, 0) + payload
    return data + bytes(-len(data) % 4)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(nl80211, "_open", kernel.open)
    return kernel


def test_the_network_and_the_signal_are_read(kernel: Kernel) -> None:
    assert nl80211.Nl80211().link(3) == ("Homenet", -52)


def test_an_interface_that_is_not_connected(kernel: Kernel) -> None:
    kernel.ssid = None

    assert nl80211.Nl80211().link(3) == (None, None)


@pytest.mark.parametrize("kind", [pytest.param(3, id="access point"), pytest.param(7, id="mesh")])
def test_the_signal_of_others_is_not_the_interface_s(kernel: Kernel, kind: int) -> None:
    kernel.kind = kind

    assert nl80211.Nl80211().link(3) == ("Homenet", None)


@pytest.mark.parametrize("signal", [0, 20, 127, -128])
def test_a_signal_that_no_receiver_hears_is_not_known(kernel: Kernel, signal: int) -> None:
    kernel.signal = signal

    assert nl80211.Nl80211().link(3) == ("Homenet", None)


def test_a_refusal_is_an_error(kernel: Kernel) -> None:
    kernel.refuses = 19

    with pytest.raises(OSError, match="refused") as caught:
        nl80211.Nl80211().link(3)

    assert caught.value.errno == 19


def test_one_connection_serves_until_it_breaks(kernel: Kernel) -> None:
    wifi = Wifi(Files("/nowhere"))
    wifi.ask(3)
    wifi.ask(3)
    assert kernel.opened == 1
    kernel.refuses = 19
    with pytest.raises(OSError, match="refused"):
        wifi.ask(3)
    kernel.refuses = 0

    assert wifi.ask(3) == ("Homenet", -52)
    assert kernel.opened == 2
