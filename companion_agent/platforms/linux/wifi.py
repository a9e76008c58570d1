"""Wi-Fi interfaces: found in sysfs, read by nl80211 or, without it, from the wireless extensions.

Sources: Documentation/ABI/testing/sysfs-class-net, wireless(7).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import WifiLink
from companion_agent.platforms.linux.nl80211 import LEAST_SIGNAL, Nl80211

if TYPE_CHECKING:
    from companion_agent.platforms.base import Wanted
    from companion_agent.platforms.linux.files import Files


def parse_wireless(data: bytes) -> dict[str, float]:
    """Read each interface's signal in dBm from `/proc/net/wireless`."""
    signals = {}
    for line in data.split(b"\n")[2:]:
        name, _, rest = line.partition(b":")
        fields = rest.split()
        with contextlib.suppress(IndexError, ValueError):
            level = float(fields[2])
            # Old drivers count from 0 to 255 without saying where dBm would be.
            if LEAST_SIGNAL <= level < 0:
                signals[name.strip().decode("utf-8", "replace")] = level
    return signals


class Wifi:
    """The Wi-Fi interfaces of one machine."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._netlink: Nl80211 | None = None

    def links(self, wanted: Wanted) -> list[WifiLink]:
        """Read the Wi-Fi interfaces that are wanted by name.

        Raises:
            Unavailable: There is none.
        """
        names = [
            name
            for name in self._files.names("sys/class/net")
            if self._files.exists(f"sys/class/net/{name}/phy80211")
            or self._files.exists(f"sys/class/net/{name}/wireless")
        ]
        if not names:
            raise Unavailable("this computer has no Wi-Fi interface")
        return [self._link(name) for name in names if wanted(name)]

    def _link(self, name: str) -> WifiLink:
        index = self._files.number(f"sys/class/net/{name}/ifindex")
        try:
            ssid, signal = self.ask(index) if index else (None, None)
        except OSError:
            # Drivers from outside the kernel may know the extensions only. Their name for the
            # network needs a call that is going away; the signal does not.
            signals = parse_wireless(self._files.read("proc/net/wireless") or b"")
            return WifiLink(name, None, signals.get(name))
        return WifiLink(name, ssid, signal)

    def ask(self, index: int) -> tuple[str | None, float | None]:
        """Ask the kernel for the network and signal of an interface.

        Raises:
            OSError: The kernel does not answer.
        """
        try:
            if self._netlink is None:
                self._netlink = Nl80211()
            return self._netlink.link(index)
        except OSError:
            # Answers may be left in the socket: the next question gets a new one.
            if self._netlink is not None:
                self._netlink.close()
                self._netlink = None
            raise
