"""Wi-Fi by generic netlink, the kernel's own interface since 2007.

The older wireless extensions (`/proc/net/wireless`, `SIOCGIWESSID`) put a warning into the
kernel's log and do not work with Wi-Fi 7; a program to ask (`iw`) may not be there.

Sources: include/uapi/linux/nl80211.h, include/uapi/linux/genetlink.h, netlink(7).
"""

from __future__ import annotations

import socket
import struct
import sys

from companion_agent.platforms.linux.netlink import HEADER, messages

_NETLINK_GENERIC = 16
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x001, 0x300
_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY, _CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 16, 3, 1, 2
_CMD_GET_INTERFACE, _CMD_GET_STATION = 5, 17
_ATTR_IFINDEX, _ATTR_IFTYPE, _ATTR_STA_INFO, _ATTR_SSID = 3, 5, 21, 52
# NL80211_IFTYPE_STATION and NL80211_IFTYPE_P2P_CLIENT.
_CLIENTS = frozenset({2, 8})
_STA_INFO_SIGNAL, _STA_INFO_SIGNAL_AVG = 7, 13
_GENERIC_HEADER = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
LEAST_SIGNAL = -120
"""What is believed to be a signal at least, in dBm; it is less than 0."""
# The two top bits of an attribute's type are flags.
_TYPE_MASK = 0x3FFF


def message(family: int, command: int, attributes: bytes, *, sequence: int, dump: bool) -> bytes:
    """Write a request."""
    flags = _NLM_F_REQUEST | (_NLM_F_DUMP if dump else 0)
    size = HEADER.size + _GENERIC_HEADER.size + len(attributes)
    return (
        HEADER.pack(size, family, flags, sequence, 0)
        + _GENERIC_HEADER.pack(command, 1, 0)
        + attributes
    )


def attribute(kind: int, value: bytes) -> bytes:
    """Write an attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """Read attributes by their type; of several with one type, the last."""
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= size <= len(data):
            break
        found[kind & _TYPE_MASK] = data[_ATTRIBUTE.size : size]
        data = data[(size + 3) & ~3 :]
    return found


def ssid_of(interface: dict[int, bytes]) -> str | None:
    """Read the network's name from an interface's attributes; any bytes are allowed in it."""
    name = interface.get(_ATTR_SSID, b"").rstrip(b"\0")
    return name.decode("utf-8", "replace") if name else None


def is_client_of(interface: dict[int, bytes]) -> bool:
    """Tell from an interface's attributes whether it is a client of an access point."""
    kind = interface.get(_ATTR_IFTYPE, b"")
    return len(kind) != 4 or struct.unpack("=I", kind)[0] in _CLIENTS


def signal_of(station: dict[int, bytes]) -> float | None:
    """Read the signal in dBm from a station's attributes: the smoothed one where there is one."""
    info = attributes(station.get(_ATTR_STA_INFO, b""))
    for kind in (_STA_INFO_SIGNAL_AVG, _STA_INFO_SIGNAL):
        value = info.get(kind, b"")
        # A signed byte. No receiver hears 1 mW, nor below the noise: drivers leave 0, 127 or -128
        # there before they have heard anything.
        if len(value) == 1 and LEAST_SIGNAL <= (level := struct.unpack("b", value)[0]) < 0:
            return float(level)
    return None


class Nl80211:
    """A connection to the kernel's Wi-Fi layer.

    Raises:
        OSError: There is none (no Wi-Fi driver is loaded), or it may not be asked.
    """

    def __init__(self) -> None:
        self._sequence = 0
        self._socket = _open()
        try:
            # The kernel answers at once, or something is wrong.
            self._socket.settimeout(2)
            self._family = self._find_family("nl80211")
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def link(self, index: int) -> tuple[str | None, float | None]:
        """Return the network's name and the signal in dBm of the interface with an index.

        Raises:
            OSError: The kernel refused; the interface may have gone.
        """
        which = attribute(_ATTR_IFINDEX, struct.pack("=I", index))
        signal = None
        ssid = None
        is_client = True
        for interface in self._ask(self._family, _CMD_GET_INTERFACE, which, dump=False):
            ssid = ssid_of(interface) or ssid
            is_client = is_client and is_client_of(interface)
        if not is_client:
            # The stations are its clients or its neighbours, and none of them is the network.
            return ssid, None
        for station in self._ask(self._family, _CMD_GET_STATION, which, dump=True):
            value = signal_of(station)
            signal = value if signal is None else signal
        return ssid, signal

    def _find_family(self, name: str) -> int:
        wanted = attribute(_CTRL_ATTR_FAMILY_NAME, name.encode() + b"\0")
        for answer in self._ask(_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY, wanted, dump=False):
            number = answer.get(_CTRL_ATTR_FAMILY_ID, b"")
            if len(number) == 2:
                return int(struct.unpack("=H", number)[0])
        raise OSError(f"the kernel has no {name}")

    def _ask(
        self, family: int, command: int, request: bytes, *, dump: bool
    ) -> list[dict[int, bytes]]:
        self._sequence += 1
        sequence = self._sequence
        self._socket.send(message(family, command, request, sequence=sequence, dump=dump))
        answers: list[dict[int, bytes]] = []
        while True:
            for kind, answered, payload in messages(self._socket.recv(65536)):
                if answered != sequence:
                    continue
                if kind == _NLMSG_DONE:
                    return answers
                if kind == _NLMSG_ERROR:
                    error = -struct.unpack_from("=i", payload)[0] if len(payload) >= 4 else 5
                    if error:
                        raise OSError(error, "the kernel refused a request about Wi-Fi")
                    return answers
                answers.append(attributes(payload[_GENERIC_HEADER.size :]))
                if not dump:
                    return answers


if sys.platform == "linux":

    def _open() -> socket.socket:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)

else:

    def _open() -> socket.socket:
        raise OSError("netlink is Linux's")
