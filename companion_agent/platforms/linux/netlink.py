"""Whether a link, an address or a route has changed, as the kernel tells it.

Sources: netlink(7), rtnetlink(7), netdevice(7).
"""

from __future__ import annotations

from contextlib import suppress
import socket
import struct
import sys
from typing import TYPE_CHECKING

from companion_agent.platforms.control import NetworkWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

# Multicast groups, linux/rtnetlink.h. Links alone are not enough: what has a carrier has no
# address yet. Addresses and routes are not enough either: those that are set by hand stay when a
# cable is pulled, and the kernel says nothing of them when it is in again.
_LINKS = 0x1
_IPV4_ADDRESSES = 0x10
_IPV4_ROUTES = 0x40
_IPV6_ADDRESSES = 0x100
_IPV6_ROUTES = 0x400
_GROUPS = _LINKS | _IPV4_ADDRESSES | _IPV4_ROUTES | _IPV6_ADDRESSES | _IPV6_ROUTES
_RTM_NEWLINK, _RTM_DELLINK = 16, 17
_IFF_LOWER_UP = 0x10000
HEADER = struct.Struct("=IHHII")
# struct ifinfomsg: family, type, index, flags, change.
_LINK = struct.Struct("=BxHiII")
_NEWS_BYTES = 32768


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Split what was received into type, sequence and payload of each message."""
    while len(data) >= HEADER.size:
        size, kind, _, sequence, _ = HEADER.unpack_from(data)
        if not HEADER.size <= size <= len(data):
            return
        yield kind, sequence, data[HEADER.size : size]
        data = data[(size + 3) & ~3 :]


if sys.platform == "linux":

    def _listen() -> socket.socket:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            made.bind((0, _GROUPS))
        except OSError:
            made.close()
            raise
        made.setblocking(False)
        return made

else:

    def _listen() -> socket.socket:
        raise OSError("only Linux has netlink")


class RouteWatch(NetworkWatch):
    """Listens to the kernel's multicast of changes.

    What changed in an address or a route does not matter. Of a link it does: drivers tell of
    theirs at every scan for Wi-Fi, and news is only that it carries again.

    Raises:
        OSError: This kernel does not tell.
    """

    def __init__(self) -> None:
        self._socket = _listen()
        self._carriers: set[int] = set()  # links known to carry, by index

    @property
    def socket(self) -> socket.socket:
        """The socket to select on."""
        return self._socket

    def changed(self) -> bool:
        """Take what the kernel sent."""
        changed = False
        with suppress(BlockingIOError):
            while True:
                try:
                    data = self._socket.recv(_NEWS_BYTES)
                except BlockingIOError:
                    raise
                except OSError:
                    # ENOBUFS: so much has changed that the kernel gave up telling.
                    return True
                for kind, _, payload in messages(data):
                    changed |= self._is_news(kind, payload)
        return changed

    def _is_news(self, kind: int, payload: bytes) -> bool:
        if kind not in {_RTM_NEWLINK, _RTM_DELLINK}:
            return True
        if len(payload) < _LINK.size:
            return False
        _, _, index, flags, _ = _LINK.unpack_from(payload)
        carried = index in self._carriers
        if kind == _RTM_NEWLINK and flags & _IFF_LOWER_UP:
            self._carriers.add(index)
            return not carried
        self._carriers.discard(index)
        return False

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
