"""Network interfaces, from `/proc/net`, `/sys/class/net` and two old calls.

Sources: proc(5), Documentation/ABI/testing/sysfs-class-net, netdevice(7), ethtool(8).
"""

from __future__ import annotations

import array
import re
import socket
import struct
import sys
from typing import TYPE_CHECKING

from companion_agent.platforms.base import InterfaceCounters, Link
from companion_agent.platforms.linux.files import integer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from companion_agent.platforms.linux.files import Files

_LOOPBACK, _ETHERNET = 772, 1  # ARPHRD_*
_DEVICE_TYPE = re.compile(rb"^DEVTYPE=(\w+)$", re.MULTILINE)
# Networks between the containers of several hosts; their address is the containers' router.
_OVERLAYS = frozenset({b"vxlan", b"geneve"})
# Passes after which interfaces that are not shown are looked at again: they may have got an
# address.
_LOOK_AGAIN = 6
_SIOCGIFADDR = 0x8915
_SIOCETHTOOL = 0x8946
_ETHTOOL_GPERMADDR = 0x20
# if_inet6: scope "link"; flags "temporary", "failed", "deprecated", "tentative".
_SCOPE_LINK = 0x20
_TEMPORARY, _FAILED, _DEPRECATED, _TENTATIVE = 0x01, 0x08, 0x20, 0x40


def parse_net_dev(data: bytes) -> list[tuple[str, int, int]]:
    """Read the name, received and sent bytes of every interface from `/proc/net/dev`."""
    interfaces = []
    for line in data.split(b"\n")[2:]:
        name, _, rest = line.partition(b":")
        fields = rest.split()
        if len(fields) >= 9:
            received, sent = integer(fields[0]), integer(fields[8])
            if received is not None and sent is not None and received >= 0 and sent >= 0:
                interfaces.append((name.strip().decode("utf-8", "replace"), received, sent))
    return interfaces


def parse_default_routes(data: bytes) -> set[str]:
    """Read which interfaces a default route goes out by, from `/proc/net/route`."""
    found = set()
    for line in data.split(b"\n")[1:]:
        fields = line.split()
        # Destination and mask, in hex.
        if len(fields) >= 8 and fields[1] == fields[7] == b"00000000":
            found.add(fields[0].decode("utf-8", "replace"))
    return found


def parse_if_inet6(data: bytes) -> dict[str, str]:
    """Read each interface's first IPv6 address that is not link-local from `/proc/net/if_inet6`.

    A lasting address is preferred to the temporary ones that a host changes daily for privacy.
    """
    found: dict[str, tuple[bool, str]] = {}
    for line in data.split(b"\n"):
        fields = line.split()
        try:
            address, scope, flags = bytes.fromhex(fields[0].decode()), fields[3], fields[4]
            scope_number, flag_bits = int(scope, 16), int(flags, 16)
            name = fields[5].decode()
        except (IndexError, ValueError):
            continue
        if len(address) != 16 or scope_number == _SCOPE_LINK or flag_bits & (_FAILED | _TENTATIVE):
            continue
        passing = bool(flag_bits & (_TEMPORARY | _DEPRECATED))
        if name not in found or (found[name][0] and not passing):
            found[name] = (passing, socket.inet_ntop(socket.AF_INET6, address))
    return {name: address for name, (_, address) in found.items()}


class Network:
    """The network interfaces of one machine."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._socket: socket.socket | None = None
        self._own: dict[str, bool] = {}
        self._passes = 0

    def counters(self) -> list[InterfaceCounters]:
        """Read the counters of every interface."""
        found = parse_net_dev(self._files.read("proc/net/dev") or b"")
        names = [name for name, _, _ in found]
        self._passes += 1
        if names != list(self._own) or self._passes > _LOOK_AGAIN:
            self._passes = 0
            self._own = self._look(names)
        return [
            InterfaceCounters(name, received, sent, self._own[name])
            for name, received, sent in found
        ]

    def _look(self, names: list[str]) -> dict[str, bool]:
        """Tell which interfaces connect this host, and not a container or virtual machine in it.

        What the kernel knows of them decides, since a name says nothing: a card, and what is
        stacked on one; tunnels and taps that have an address; what the default route goes out
        by. Bridges without a card, and the ends of virtual cables, are not the host's. What was
        shown once stays, with or without an address.
        """
        files = self._files
        cards = {name for name in names if files.exists(f"sys/class/net/{name}/device")}
        routed = parse_default_routes(files.read("proc/net/route") or b"")
        ipv6 = parse_if_inet6(files.read("proc/net/if_inet6") or b"")
        below = {name: self._lower(name) for name in names if name not in cards}

        def on_card(name: str, seen: frozenset[str] = frozenset()) -> bool:
            return name in cards or any(
                on_card(lower, seen | {name}) for lower in below.get(name, ()) if lower not in seen
            )

        def is_own(name: str) -> bool:
            if name in cards or name in routed or self._own.get(name):
                return True
            return self._is_virtual_own(
                name,
                on_card=on_card(name),
                addressed=name in ipv6 or self.ipv4(name) is not None,
                has_cards=bool(cards),
            )

        return {name: is_own(name) for name in dict.fromkeys(names)}

    def _is_virtual_own(
        self, name: str, *, on_card: bool, addressed: bool, has_cards: bool
    ) -> bool:
        files, folder = self._files, f"sys/class/net/{name}"
        kind = files.number(f"{folder}/type")
        is_bridge = files.exists(f"{folder}/bridge")
        device_type = _DEVICE_TYPE.search(files.read(f"{folder}/uevent") or b"")
        if kind == _LOOPBACK or (kind is None and name == "lo"):
            return False
        if device_type and device_type[1] in _OVERLAYS:
            return False
        if on_card:
            # A macvlan without an address is a virtual machine's.
            is_vlan = device_type is not None and device_type[1] == b"vlan"
            return is_bridge or is_vlan or files.exists(f"{folder}/bonding") or addressed
        if not addressed or is_bridge or files.exists(f"{folder}/master"):
            return False
        if kind not in {None, _ETHERNET}:
            # The tunnel that a module brings along has neither end.
            ends = (files.text(f"{folder}/{end}") or "" for end in ("address", "broadcast"))
            return any(not end or end.strip("0:") for end in ends)
        # In a container all that there is is the end of a virtual cable.
        return files.exists(f"{folder}/tun_flags") or not has_cards

    def _lower(self, name: str) -> list[str]:
        prefix = "lower_"
        names = self._files.names(f"sys/class/net/{name}")
        return [one.removeprefix(prefix) for one in names if one.startswith(prefix)]

    def links(self, names: Iterable[str]) -> dict[str, Link]:
        """Read the state and addresses of some interfaces."""
        ipv6 = parse_if_inet6(self._files.read("proc/net/if_inet6") or b"")
        return {
            name: Link(self._connected(name), self.ipv4(name), ipv6.get(name)) for name in names
        }

    def _connected(self, name: str) -> bool | None:
        state = self._files.text(f"sys/class/net/{name}/operstate")
        if state is None:
            return None
        # Tunnels and some drivers never say more than "unknown"; their carrier tells.
        if state == "unknown":
            return self._files.number(f"sys/class/net/{name}/carrier") == 1
        return state == "up"

    def hardware_addresses(self) -> tuple[str, ...]:
        """Return the addresses of the network cards, as they were made."""
        addresses = set()
        for name in self._files.names("sys/class/net"):
            folder = f"sys/class/net/{name}"
            if self._files.exists(f"{folder}/device"):
                # 0: the card's own. Otherwise it was drawn for privacy, or is a bond's.
                if self._files.number(f"{folder}/addr_assign_type"):
                    address = self.permanent_address(name)
                else:
                    address = self._files.text(f"{folder}/address")
                if address and _is_hardware_address(address.lower()):
                    addresses.add(address.lower())
        return tuple(sorted(addresses))

    def ipv4(self, name: str) -> str | None:
        """Return an interface's first IPv4 address."""
        answer = self._ask(name, _SIOCGIFADDR, bytes(24))
        return None if answer is None else ".".join(str(byte) for byte in answer[20:24])

    def permanent_address(self, name: str) -> str | None:
        """Return the address that a network card was made with."""
        # struct ethtool_perm_addr: command, room for the address, the address.
        request = array.array("B", struct.pack("II32x", _ETHTOOL_GPERMADDR, 32))
        where, _ = request.buffer_info()
        if self._ask(name, _SIOCETHTOOL, struct.pack("P16x", where)) is None:
            return None
        size = int.from_bytes(request[4:8].tobytes(), sys.byteorder)
        address = request[8:14].tobytes()
        return address.hex(":") if size == 6 and any(address) else None

    def _ask(self, name: str, call: int, argument: bytes) -> bytes | None:
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            request = struct.pack("16s", name.encode()[:15]) + argument
            return _ioctl(self._socket.fileno(), call, request)
        except (OSError, ValueError):
            return None


if sys.platform != "win32":
    import fcntl

    def _ioctl(file: int, call: int, argument: bytes) -> bytes:
        return fcntl.ioctl(file, call, argument)

else:

    def _ioctl(file: int, call: int, argument: bytes) -> bytes:
        raise OSError("not on Windows, where this module is only imported by tests")


def _is_hardware_address(address: str) -> bool:
    return bool(re.fullmatch(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", address)) and (
        address not in {"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"}
    )
