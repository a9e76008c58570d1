"""Home Assistant's units of display beside its native ones."""

from __future__ import annotations

# What one of it is in the native unit; Home Assistant shows bytes as GiB, seconds as hours.
_SIZES: dict[str, dict[str, float]] = {
    "B": {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    | {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40},
    "s": {"s": 1, "min": 60, "h": 3600, "d": 86400},
    "MHz": {"MHz": 1, "GHz": 1e3},
}
_SIZES["B/s"] = {f"{unit}/s": size for unit, size in _SIZES["B"].items()}
_SIZES["B/s"] |= {"bit/s": 1 / 8, "kbit/s": 1e3 / 8, "Mbit/s": 1e6 / 8, "Gbit/s": 1e9 / 8}


def in_native(value: float, shown: str, native: str) -> float:
    """Convert a shown value to the native unit of its kind.

    Raises:
        ValueError: The shown unit is not one of the native unit's family.
    """
    if shown == native:
        return value
    size = _SIZES.get(native, {}).get(shown)
    if size is None:
        raise ValueError(f"{shown!r} is no unit for what is measured in {native!r}")
    return value * size
