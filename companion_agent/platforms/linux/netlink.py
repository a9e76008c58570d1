"""Whether an address or a route has changed, as the kernel tells it. Source: rtnetlink(7)."""

from __future__ import annotations

from contextlib import suppress
import socket
import sys

from companion_agent.platforms.control import NetworkWatch

# Multicast groups, linux/rtnetlink.h. Links alone are not enough: what has a carrier has no
# address yet.
_IPV4_ADDRESSES = 0x10
_IPV4_ROUTES = 0x40
_IPV6_ADDRESSES = 0x100
_IPV6_ROUTES = 0x400
_GROUPS = _IPV4_ADDRESSES | _IPV4_ROUTES | _IPV6_ADDRESSES | _IPV6_ROUTES


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
    """Listens to the kernel's multicast of changes; what changed does not matter.

    Raises:
        OSError: This kernel does not tell.
    """

    def __init__(self) -> None:
        self._socket = _listen()

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
                    self._socket.recv(8192)
                except BlockingIOError:
                    raise
                except OSError:
                    # ENOBUFS: so much has changed that the kernel gave up telling.
                    return True
                changed = True
        return changed

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
