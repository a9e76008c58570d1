"""Whether an address or a route has changed, as Windows tells it."""

from __future__ import annotations

from contextlib import suppress
import socket

from companion_agent.platforms.control import NetworkWatch
from companion_agent.winapi.ip_helper import ChangeNotifications


class AddressWatch(NetworkWatch):
    """Listens to Windows' notifications of changes; what changed does not matter.

    They come in threads of Windows', which a pair of sockets tells the event loop.

    Raises:
        OSError: Windows does not tell.
    """

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        try:
            self._notifications = ChangeNotifications(self._tell)
        except OSError:
            self._near.close()
            self._far.close()
            raise

    @property
    def socket(self) -> socket.socket:
        """The socket to select on."""
        return self._near

    def changed(self) -> bool:
        """Take what Windows has told."""
        changed = False
        with suppress(BlockingIOError):
            while self._near.recv(4096):
                changed = True
        return changed

    def close(self) -> None:
        """Hang up."""
        self._notifications.cancel()
        self._near.close()
        self._far.close()

    def _tell(self) -> None:
        # A pair that is full tells enough.
        with suppress(BlockingIOError):
            self._far.send(b"\0")
