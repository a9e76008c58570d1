"""A DLL without code, whose functions are those of other DLLs under the names that it gives them.

Source: Microsoft's "PE Format", "Export Directory Table" and "Export Address Table": an address
within the export section is that of a text, `DLL.Function`, and the loader goes on there.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALIGNMENT = 0x1000
"""Of sections, in memory; the file has the headers and one section."""
_IN_FILE = 0x200
_SECTION_AT = 0x1000
_HEADERS = 0x200


def forwarding_dll(name: str, functions: Mapping[str, str]) -> bytes:
    """Return a DLL for 64-bit Windows.

    Args:
        name: Its name, with `.dll`.
        functions: What stands for each of its functions, `advapi32.SystemFunction036`.
    """
    exports = _export_section(name, functions)
    raw = exports.ljust(-(-len(exports) // _IN_FILE) * _IN_FILE, b"\0")
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    # IMAGE_FILE_HEADER: AMD64, one section, executable, large addresses, DLL.
    file = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0, 0, 0, 240, 0x2022)
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        *(0x20B, 0, 0, 0, len(raw), 0, 0, _SECTION_AT),
        # Base address; alignment in memory and in the file; version of Windows.
        *(0x180000000, _ALIGNMENT, _IN_FILE, 6, 0, 0, 0, 6, 0, 0),
        # Size in memory and of the headers; a console's DLL that may be loaded anywhere.
        *(_SECTION_AT + _ALIGNMENT, _HEADERS, 0, 3, 0x160),
        *(0x100000, 0x1000, 0x100000, 0x1000, 0, 16),
    )
    directories = struct.pack("<II", _SECTION_AT, len(exports)).ljust(16 * 8, b"\0")
    section = struct.pack(
        "<8sIIIIIIHHI",
        *(b".edata", len(exports), _SECTION_AT, len(raw), _HEADERS, 0, 0, 0, 0, 0x40000040),
    )
    return (dos + file + optional + directories + section).ljust(_HEADERS, b"\0") + raw


def _export_section(name: str, functions: Mapping[str, str]) -> bytes:
    names = sorted(functions)
    count = len(names)
    addresses_at = _SECTION_AT + 40
    names_at = addresses_at + 4 * count
    ordinals_at = names_at + 4 * count
    texts_at = ordinals_at + 2 * count
    texts = b""

    def keep(text: str) -> int:
        nonlocal texts
        at = texts_at + len(texts)
        texts += text.encode("ascii") + b"\0"
        return at

    own_name = keep(name)
    forwarders = [keep(functions[one]) for one in names]
    name_pointers = [keep(one) for one in names]
    directory = struct.pack(
        "<IIHHIIIIIII",
        *(0, 0, 0, 0, own_name, 1, count, count, addresses_at, names_at, ordinals_at),
    )
    tables = struct.pack(f"<{count}I{count}I", *forwarders, *name_pointers)
    return directory + tables + struct.pack(f"<{count}H", *range(count)) + texts
