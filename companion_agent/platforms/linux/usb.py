"""USB devices, by name. Source: Documentation/ABI/stable/sysfs-bus-usb.

A device is there while its node in `/dev/bus/usb` is: the kernel makes it when the rest can be
read, and takes it away first. `usb_watch.py` hears of both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from companion_agent.platforms.base import UsbDevice

if TYPE_CHECKING:
    from companion_agent.platforms.linux.files import Files

NODES = "dev/bus/usb"
_DEVICES = "sys/bus/usb/devices"
# Root hubs are `usb1`, what is plugged in `1-4.2`; `1-4.2:1.0` is one of its functions.
_PLUGGED_IN = re.compile(r"\d+-\d+(?:\.\d+)*")
_HUB = "09"
_CODE = re.compile(r"[0-9a-f]{4}")


def devices(files: Files) -> list[UsbDevice]:
    """List what is plugged in, in the order of its ports."""
    found = []
    for port in files.names(_DEVICES):
        folder = f"{_DEVICES}/{port}"
        if not _PLUGGED_IN.fullmatch(port):
            continue
        bus, number = files.number(f"{folder}/busnum"), files.number(f"{folder}/devnum")
        if bus is None or number is None:
            continue
        if not files.exists(f"{NODES}/{bus:03d}/{number:03d}"):
            continue
        maker, product, *codes = (
            files.text(f"{folder}/{name}") or ""
            for name in ("manufacturer", "product", "idVendor", "idProduct")
        )
        code = ":".join(codes) if all(map(_CODE.fullmatch, codes)) else ""
        # Many makers repeat themselves in the product's name.
        words = product if product.lower().startswith(maker.lower()) else f"{maker} {product}"
        found.append(
            UsbDevice(
                port,
                number,
                name=" ".join(words.split()) or code or port,
                code=code,
                shown=files.text(f"{folder}/bDeviceClass") != _HUB,
            )
        )
    return found
