"""NVIDIA's graphics cards, by the driver's own library (NVML) through nvidia-ml-py.

Source: NVML API Reference (docs.nvidia.com/deploy/nvml-api).
"""

from __future__ import annotations

import os
from pathlib import Path
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.platforms.base import GraphicsQuantity

LIBRARY = "libnvidia-ml.so.1"
# Where nvidia-ml-py looks: that of present drivers, and of those before 2019.
_WINDOWS_LIBRARIES = (
    ("WINDIR", r"C:\Windows", r"System32\nvml.dll"),
    ("PROGRAMFILES", r"C:\Program Files", r"NVIDIA Corporation\NVSMI\nvml.dll"),
)
# °C below its limit from which on a card counts as cool again.
_HYSTERESIS = 5
_MILLI = 1e-3


class NvmlCard(NamedTuple):
    """A card that the library knows.

    Attributes:
        address: Where it is on the PCI bus, `0000:01:00.0`.
        device: The number of its chip there.
    """

    address: str
    device: int


class NvmlSample(NamedTuple):
    """What the library tells of a card.

    Attributes:
        values: See `GraphicsSample`.
        left_out: See `GraphicsSample`.
    """

    values: Mapping[GraphicsQuantity, float | None]
    left_out: Mapping[GraphicsQuantity, str]


class _Card(NamedTuple):
    """A card of which the driver has given a handle."""

    nvml: Any
    handle: Any
    address: str


class Nvml:
    """The library, which stays open between two readings until it is closed.

    Cards are named by their address on the PCI bus, `0000:01:00.0`.
    """

    def __init__(self) -> None:
        self._library: Any = None
        self._alive: set[tuple[str, GraphicsQuantity]] = set()
        self._hot: set[str] = set()

    def cards(self) -> list[NvmlCard]:
        """List the cards that the driver has, and wake them.

        Raises:
            Unavailable: The library is not there, or does not work.
        """
        nvml = self._opened()
        found = []
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                info = nvml.nvmlDeviceGetPciInfo(nvml.nvmlDeviceGetHandleByIndex(index))
            except nvml.NVMLError:
                continue  # one that is lost
            address = f"{info.domain:04x}:{info.bus:02x}:{info.device:02x}.0"
            found.append(NvmlCard(address, info.pciDeviceId >> 16))
        return found

    def sample(self, address: str) -> NvmlSample:
        """Read a card, and wake it.

        Raises:
            Unavailable: The library is not there, or does not work.
        """
        nvml = self._opened()
        values: dict[GraphicsQuantity, float | None] = {}
        left_out: dict[GraphicsQuantity, str] = {}
        try:
            handle = nvml.nvmlDeviceGetHandleByPciBusId(address.encode())
        except nvml.NVMLError as error:
            # A driver that was loaded anew has to be opened anew.
            self.close()
            return NvmlSample(self.silent(address), {"percent": str(error)})
        card = _Card(nvml, handle, address)
        readers: dict[GraphicsQuantity, Callable[[_Card], float]] = {
            **_READERS,
            "too_hot": self._is_too_hot,
        }
        for quantity, read in readers.items():
            try:
                values[quantity] = read(card)
                self._alive.add((address, quantity))
            # nvidia-ml-py drops what NVIDIA's next driver will not have.
            except (nvml.NVMLError, AttributeError) as error:
                if (address, quantity) in self._alive:
                    values[quantity] = None
                else:
                    left_out[quantity] = str(error)
        return NvmlSample(values, left_out)

    def silent(self, address: str) -> dict[GraphicsQuantity, float | None]:
        """Return the quantities of a card that cannot be asked now, as far as they are known."""
        return dict.fromkeys(self._known(address))

    def close(self) -> None:
        """Close the library, so that cards may fall asleep."""
        nvml, self._library = self._library, None
        if nvml is not None:
            try:
                nvml.nvmlShutdown()
            except nvml.NVMLError:
                return  # the driver has gone, and all that was open with it

    def _known(self, address: str) -> list[GraphicsQuantity]:
        return sorted(quantity for card, quantity in self._alive if card == address)

    def _is_too_hot(self, card: _Card) -> bool:
        """Tell whether it is as hot as where it begins to slow down."""
        nvml, handle, address = card
        limit = int(
            nvml.nvmlDeviceGetTemperatureThreshold(handle, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN)
        )
        spare = _HYSTERESIS if address in self._hot else 0
        hot = 0 < limit <= _temperature(card) + spare
        (self._hot.add if hot else self._hot.discard)(address)
        return hot

    def _opened(self) -> Any:  # noqa: ANN401
        if self._library is not None:
            return self._library
        if not library_is_there():
            raise Unavailable(
                "the library of NVIDIA's driver (NVML) is not installed",
                "Debian has it in libnvidia-ml1, Ubuntu in libnvidia-compute, "
                "Windows with the driver",
            )
        try:
            import pynvml as nvml  # type: ignore[import-untyped]  # noqa: PLC0415  (optional)
        except ImportError:
            raise Unavailable(
                "nvidia-ml-py is not installed",
                "install it with the agent: pip install 'pilot-agent[nvidia]'",
            ) from None
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            mismatch = error.value == nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
            raise Unavailable(
                f"NVIDIA's driver does not answer: {str(error).rstrip('.')}",
                "the driver was updated: restart this computer" if mismatch else "run nvidia-smi",
            ) from None
        self._library = nvml
        return nvml


if sys.platform == "win32":

    def library_is_there() -> bool:
        """Tell whether the driver's library is installed."""
        return any(
            (Path(os.environ.get(name, usual)) / path).exists()
            for name, usual, path in _WINDOWS_LIBRARIES
        )

else:

    def library_is_there() -> bool:
        """Tell whether the driver's library is installed."""
        import ctypes  # noqa: PLC0415  (asked for only where there is such a card)

        try:
            ctypes.CDLL(LIBRARY)
        except OSError:
            return False
        return True


def _temperature(card: _Card) -> float:
    nvml, handle, _ = card
    return float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))


def _frequency(card: _Card) -> float:
    nvml, handle, _ = card
    return float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_GRAPHICS))


_READERS: Mapping[GraphicsQuantity, Callable[[_Card], float]] = {
    "percent": lambda card: float(card.nvml.nvmlDeviceGetUtilizationRates(card.handle).gpu),
    "memory_used": lambda card: int(card.nvml.nvmlDeviceGetMemoryInfo(card.handle).used),
    "memory_total": lambda card: int(card.nvml.nvmlDeviceGetMemoryInfo(card.handle).total),
    "temperature": _temperature,
    "power": lambda card: float(card.nvml.nvmlDeviceGetPowerUsage(card.handle) * _MILLI),
    "frequency": _frequency,
    # A fan that exceeds what it is made for says more than 100.
    "fan_percent": lambda card: float(min(card.nvml.nvmlDeviceGetFanSpeed(card.handle), 100)),
}
