"""Who makes what is on a PCI bus. Source: pci-ids.ucw.cz."""

from __future__ import annotations

from types import MappingProxyType

GRAPHICS_MAKERS = MappingProxyType({0x1002: "AMD", 0x10DE: "NVIDIA", 0x8086: "Intel"})
"""Makers of graphics processors by the number of their vendor."""
NVIDIA = 0x10DE
