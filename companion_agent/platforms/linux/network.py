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

# Loopback, the host's ends of containers and virtual machines and the bridges between them,
# and what some modules bring along unasked. Own bridges, bonds, VLANs and tunnels are shown:
# the host's addresses are theirs.
_INTERNAL = re.compile(
    r"(lo$|veth|docker|hassio|br-|virbr|vnet\d|tap|fwbr|fwln|fwpr|lxc|lxd|incusbr|podman|cni|"
    r"flannel|cali|cilium|kube-|nodelocaldns|weave|vxlan|ovs-system|ifb|dummy|nlmon|teql|"
    r"sit0|tunl0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|ip6tnl0|ip6gre0|p2p-dev-)"
)
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

    def counters(self) -> list[InterfaceCounters]:
        """Read the counters of every interface."""
        return [
            InterfaceCounters(name, received, sent, not _INTERNAL.match(name))
            for name, received, sent in parse_net_dev(self._files.read("proc/net/dev") or b"")
        ]

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
