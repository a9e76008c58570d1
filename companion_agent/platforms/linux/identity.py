"""What this computer is: its maker, model and operating system.

Sources: os-release(5), machine-id(5), Documentation/ABI/testing/sysfs-class-dmi (DMI), the
Devicetree specification (`/model`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from companion_agent.platforms.firmware import filled_in

if TYPE_CHECKING:
    from companion_agent.platforms.linux.files import Files

_ESCAPED = re.compile(r"\\(.)")


def parse_os_release(data: bytes) -> dict[str, str]:
    """Read the assignments of an os-release file; quotes and backslashes as in a shell."""
    fields = {}
    for line in data.decode("utf-8", "replace").splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            fields[name] = _ESCAPED.sub(r"\1", value)
    return fields


def os_name(files: Files) -> str:
    """Return the operating system's name and version for people."""
    data = files.read("etc/os-release") or files.read("usr/lib/os-release") or b""
    fields = parse_os_release(data)
    name = fields.get("PRETTY_NAME") or " ".join(
        filter(None, (fields.get("NAME"), fields.get("VERSION")))
    )
    return name.strip()[:255] or "Linux"


def maker_and_model(files: Files) -> tuple[str, str]:
    """Return who built this computer and what it is; empty texts where nothing tells."""
    vendor, model = _dmi(files, "sys_vendor"), _dmi(files, "product_name")
    if vendor.upper() == "LENOVO":
        # The product name is an order number there, the version what is printed on the lid.
        model = _dmi(files, "product_version") or model
    if not model:
        # Built from parts: the main board is the best name that it has.
        model = _dmi(files, "board_name")
        vendor = (_dmi(files, "board_vendor") or vendor) if model else vendor
    if not model:
        model = (files.text("proc/device-tree/model") or "")[:255]
        # Boards have no field for their maker; this one begins its models with it.
        vendor = vendor or ("Raspberry Pi" if model.startswith("Raspberry Pi") else "")
    return vendor, model


def _dmi(files: Files, name: str) -> str:
    return filled_in(files.text(f"sys/class/dmi/id/{name}") or "")


def machine_id(files: Files) -> str | None:
    """Return the identity that was drawn when the system was installed."""
    for path in ("etc/machine-id", "var/lib/dbus/machine-id"):
        value = files.text(path) or ""
        # Images that are cloned carry "uninitialized" or nothing until their first start.
        if re.fullmatch(r"[0-9a-f]{32}", value) and value.strip("0"):
            return value
    return None
