"""What the system knows of a connection, beside what sockets offer."""

from __future__ import annotations

import sys

if sys.platform == "linux":
    import fcntl
    import struct
    import termios

    def unsent(descriptor: int) -> int:
        """Return how many bytes the other end has not confirmed yet (SIOCOUTQ in tcp(7))."""
        try:
            answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
        except OSError:
            return 0
        (count,) = struct.unpack("i", answer)
        return int(count)

else:

    def unsent(descriptor: int) -> int:
        """Return nothing: other systems are not asked."""
        del descriptor
        return 0
