"""Graphics cards, by the files of their drivers in sysfs.

Temperatures and fans of these cards are hwmon's, and read there (`hwmon.py`). NVIDIA's own driver
has no such files: its cards are read by its library.

Sources: Documentation/gpu/amdgpu/thermal.rst and driver-misc.rst,
Documentation/ABI/testing/sysfs-driver-intel-i915-hwmon and sysfs-driver-intel-xe-hwmon,
Documentation/hwmon/sysfs-interface.rst; drivers/gpu/drm/i915/gt/intel_gt_sysfs_pm.c,
drivers/gpu/drm/xe/xe_gt_freq.c, drivers/gpu/drm/v3d/v3d_sysfs.c.
"""

from __future__ import annotations

from collections import Counter
import re
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import GraphicsCard, GraphicsSample
from companion_agent.platforms.linux.files import integer
from companion_agent.platforms.linux.hwmon import bus_id
from companion_agent.platforms.nvml import Nvml
from companion_agent.platforms.pci import GRAPHICS_MAKERS
from companion_agent.platforms.time_limit import TimeLimitedCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from companion_agent.platforms.base import GraphicsQuantity, Wanted
    from companion_agent.platforms.linux.files import Files

_DRM = "sys/class/drm"
# A server may have NVIDIA's driver without its part for DRM.
_NVIDIA = "sys/bus/pci/drivers/nvidia"
_CARD = re.compile(r"card\d+")
_MICRO = 1e-6
# Debian, Arch and others; Fedora and openSUSE.
_PCI_IDS = ("usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids")
# Device trees: Documentation/devicetree/bindings/gpu/brcm,bcm-v3d.yaml
_VIDEOCORES = {"brcm,2711-v3d": "VideoCore VI", "brcm,2712-v3d": "VideoCore VII"}
_LIMIT = re.compile(r"(temp\d{1,4})_crit")
# °C below its limit from which on a card counts as cool again.
_HYSTERESIS = 5
# A driver that is loaded late adds its files to a card that is known.
_RESCAN_AFTER = 20

# Where a driver has a quantity, the first that there is: below the device, the DRM card or the
# device's hwmon chip; and what its numbers are to be multiplied by.
_FILES: tuple[tuple[GraphicsQuantity, str, float], ...] = (
    ("percent", "device/gpu_busy_percent", 1),
    ("memory_used", "device/mem_info_vram_used", 1),
    ("memory_total", "device/mem_info_vram_total", 1),
    ("power", "hwmon/power1_average", _MICRO),
    ("power", "hwmon/power1_input", _MICRO),
    ("frequency", "hwmon/freq1_input", _MICRO),
    ("frequency", "card/gt/gt0/rps_act_freq_mhz", 1),
    ("frequency", "card/gt_act_freq_mhz", 1),
    ("frequency", "device/tile0/gt0/freq0/act_freq", 1),
)
# Microjoules since the driver was loaded.
_ENERGY = "hwmon/energy1_input"
# Nanoseconds that each queue has worked, and when that was; reading it does not wake the chip.
_QUEUES = "device/gpu_stats"


def _only_to_some(driver: str) -> dict[GraphicsQuantity, str]:
    return {
        "percent": f"{driver} shows it to programs with CAP_PERFMON alone",
        "memory_used": f"{driver} does not show what other users' programs have",
    }


_SILENT: Mapping[str, Mapping[GraphicsQuantity, str]] = {
    "i915": _only_to_some("i915"),
    "xe": _only_to_some("xe"),
    "v3d": {
        "memory_used": "it uses the computer's memory",
        "frequency": "the firmware alone knows it",
    },
}
"""What a driver does not tell, and why."""


class _Found(NamedTuple):
    """A card and its files.

    Attributes:
        nvidia: Its address on the PCI bus, for NVIDIA's library; empty for other drivers.
        power: File that says whether it sleeps.
        may_sleep: Whether it may.
        files: Quantities, where each is, and its factor.
        energy: File of the energy that it has used; may be empty, as may `queues`.
        limits: Files of temperatures and of their limits.
    """

    card: GraphicsCard
    driver: str
    nvidia: str
    power: str
    may_sleep: bool
    files: tuple[tuple[GraphicsQuantity, tuple[str, float]], ...]
    energy: str
    queues: str
    limits: tuple[tuple[str, str], ...]

    @property
    def quantities(self) -> Iterator[GraphicsQuantity]:
        """What it may tell."""
        yield from dict(self.files)
        if self.energy:
            yield "power"
        if self.queues:
            yield "percent"
        if self.limits:
            yield "too_hot"


class Graphics:
    """The graphics cards of one machine.

    Which there are, and which files they have, is remembered and replaced as a whole.

    Args:
        files: The machine's files.
        clock: Monotonic seconds.
    """

    def __init__(self, files: Files, clock: Callable[[], float] = monotonic) -> None:
        self._files = files
        self._clock = clock
        self._cards: tuple[_Found, ...] = ()
        self._seen: tuple[Mapping[str, str], Mapping[str, str]] | None = None
        self._passes = 0
        self._names: dict[tuple[int, int], str] = {}
        self._alive: set[tuple[str, GraphicsQuantity]] = set()
        self._hot: set[str] = set()
        self._energy: dict[str, tuple[int, float]] = {}
        self._worked: dict[str, Mapping[str, tuple[int, int]]] = {}
        self._nvml = Nvml()
        # A driver that waits for a card that is lost may never return.
        self._reads: TimeLimitedCalls[_Found, GraphicsSample] = TimeLimitedCalls(self._sample)

    def card(self, card: str) -> GraphicsCard | None:
        """Return a card by its id."""
        return next((one.card for one in self._current() if one.card.id == card), None)

    def samples(self, wanted: Wanted) -> list[GraphicsSample]:
        """Read the cards whose label is wanted.

        Raises:
            Unavailable: The kernel shows no card that tells anything.
        """
        found = [
            one
            for one in self._current()
            if one.nvidia or [*one.quantities] or one.driver in _SILENT
        ]
        if not found:
            raise Unavailable(
                "the kernel shows no graphics card that can be read",
                "those of AMD, Intel, NVIDIA and the Raspberry Pi are read, with their own drivers",
            )
        chosen = [one for one in found if wanted(one.card.label)]
        samples = self._reads.results(chosen)
        # Cards stay awake as long as a program has them open. A call that hangs is in there still.
        if any(one.nvidia and one.may_sleep for one in chosen) and not self._reads.hung:
            self._nvml.close()
        return [samples.get(one) or self._silent(one) for one in chosen]

    def _silent(self, one: _Found) -> GraphicsSample:
        """Return what there is of a card whose driver does not return."""
        known = self._nvml.silent(one.nvidia) if one.nvidia else dict.fromkeys(one.quantities)
        return GraphicsSample(one.card, known, {})

    def _nvidia_sample(self, one: _Found, *, asleep: bool) -> GraphicsSample:
        known = self._nvml.silent(one.nvidia)
        if asleep:
            left_out: dict[GraphicsQuantity, str] = {}
            if not known:
                left_out = {"percent": "it sleeps, and is asked as soon as it is awake"}
            return GraphicsSample(one.card, known, left_out)
        try:
            sample = self._nvml.sample(one.nvidia)
        except Unavailable as error:
            why = f"{error.reason}; {error.hint}"
            return GraphicsSample(one.card, known, {"percent": why})
        return GraphicsSample(one.card, sample.values, sample.left_out)

    def _sample(self, one: _Found) -> GraphicsSample:
        asleep = self._files.text(one.power) in {"suspended", "suspending"}
        if one.nvidia:
            return self._nvidia_sample(one, asleep=asleep)
        values: dict[GraphicsQuantity, float | None] = {}
        left_out = dict(_SILENT.get(one.driver, {}))
        for quantity in one.quantities:
            known = (one.card.id, quantity)
            try:
                values[quantity] = value = self._value(one, quantity, asleep=asleep)
                # Of a card that sleeps it is not known yet what it will answer.
                if value is not None or not asleep:
                    self._alive.add(known)
            except _NoAnswerError:
                if known in self._alive:
                    values[quantity] = None
                else:
                    left_out[quantity] = "its driver does not answer"
        return GraphicsSample(one.card, values, left_out)

    def _value(self, one: _Found, quantity: GraphicsQuantity, *, asleep: bool) -> float | None:
        if one.queues and quantity == "percent":
            return self._busiest_queue(one)
        # Reading anything else would wake it.
        if asleep:
            return None
        if quantity == "too_hot":
            return self._is_too_hot(one)
        if one.energy and quantity == "power":
            return self._mean_power(one)
        path, factor = dict(one.files)[quantity]
        return self._number(path) * factor

    def _number(self, path: str) -> int:
        number = self._files.number(path)
        if number is None or number < 0:
            raise _NoAnswerError
        return number

    def _mean_power(self, one: _Found) -> float | None:
        """Return the mean power in watts since the last time."""
        now = self._number(one.energy), self._clock()
        before = self._energy.get(one.card.id)
        self._energy[one.card.id] = now
        # The counter begins again when the driver is loaded anew.
        if before is None or now[0] < before[0] or now[1] <= before[1]:
            return None
        return (now[0] - before[0]) * _MICRO / (now[1] - before[1])

    def _busiest_queue(self, one: _Found) -> float | None:
        """Return how much of the time since the last reading the busiest queue has worked, in %."""
        now = _queues(self._files.text(one.queues) or "")
        if not now:
            raise _NoAnswerError
        before = self._worked.get(one.card.id, {})
        self._worked[one.card.id] = now
        shares = [
            100 * (worked - before[queue][1]) / (at - before[queue][0])
            for queue, (at, worked) in now.items()
            if queue in before and at > before[queue][0] and worked >= before[queue][1]
        ]
        return min(max(shares), 100.0) if shares else None

    def _is_too_hot(self, one: _Found) -> bool:
        """Tell whether a temperature has reached the limit from which on the card protects itself.

        Temperatures and limits are thousandths of °C.
        """
        spare = _HYSTERESIS * 1000 if one.card.id in self._hot else 0
        # A limit of nothing is none.
        hot = any(
            0 < self._number(limit) <= self._number(path) + spare for path, limit in one.limits
        )
        (self._hot.add if hot else self._hot.discard)(one.card.id)
        return hot

    def _current(self) -> tuple[_Found, ...]:
        seen = (self._files.links(_DRM), self._files.links(_NVIDIA))
        self._passes += 1
        if seen != self._seen or self._passes > _RESCAN_AFTER:
            self._cards = tuple(self._scan(*seen))
            self._seen = seen
            self._passes = 0
        return self._cards

    def _scan(self, drm: Iterable[str], nvidia: Iterable[str]) -> list[_Found]:
        devices = {
            device: ""
            for name in nvidia
            if ":" in name and (device := self._files.target(f"{_NVIDIA}/{name}"))
        }
        devices |= {
            device: f"{_DRM}/{name}"
            for name in drm
            if _CARD.fullmatch(name) and (device := self._files.target(f"{_DRM}/{name}/device"))
        }
        called = {device: self._name(device) for device in devices}
        count = Counter(name for name, _, _ in called.values())
        return [
            self._find(device, card, *called[device], alone=count[called[device][0]] == 1)
            for device, card in sorted(devices.items())
        ]

    def _find(
        self, device: str, card: str, name: str, maker: str, model: str, *, alone: bool
    ) -> _Found:
        address = device.rpartition("/")[2]
        driver = (self._files.target(f"{device}/driver") or "").rpartition("/")[2]
        chips = self._files.names(f"{device}/hwmon")
        chip = f"{device}/hwmon/{chips[0]}" if chips else ""
        folders = {"device": device, "card": card, "hwmon": chip}

        def existing(place: str) -> str:
            folder, _, file = place.partition("/")
            path = f"{folders[folder]}/{file}"
            return path if folders[folder] and self._files.exists(path) else ""

        files: dict[GraphicsQuantity, tuple[str, float]] = {}
        for quantity, place, factor in _FILES:
            if path := existing(place):
                files.setdefault(quantity, (path, factor))
        return _Found(
            GraphicsCard(
                bus_id(address),
                name if alone else f"{name} {address}",
                f"{name} ({address})",
                maker,
                model,
            ),
            driver,
            address if driver == "nvidia" else "",
            f"{device}/power/runtime_status",
            self._files.text(f"{device}/power/control") == "auto",
            tuple(files.items()),
            "" if "power" in files else existing(_ENERGY),
            existing(_QUEUES),
            tuple(
                (f"{chip}/{match[1]}_input", f"{chip}/{limit}")
                for limit in (self._files.names(chip) if chip else ())
                if (match := _LIMIT.fullmatch(limit))
            ),
        )

    def _name(self, device: str) -> tuple[str, str, str]:
        """Return what to call a device, who made it, and its model."""
        tree = (self._files.text(f"{device}/of_node/compatible") or "").split("\0")
        for compatible, model in _VIDEOCORES.items():
            if compatible in tree:
                return f"Broadcom {model}", "Broadcom", model
        vendor, number = (self._hexadecimal(f"{device}/{file}") for file in ("vendor", "device"))
        maker = GRAPHICS_MAKERS.get(vendor, "")
        model = self._files.text(f"{device}/product_name") or self._listed(vendor, number)
        return f"{maker} {model or 'Graphics'}".strip(), maker, model

    def _hexadecimal(self, path: str) -> int:
        text = self._files.text(path) or ""
        return int(text, 16) if re.fullmatch(r"0x[0-9a-fA-F]{4}", text) else 0

    def _listed(self, vendor: int, device: int) -> str:
        """Return the name under which a device of PCI is sold, as pci.ids has it."""
        if (vendor, device) not in self._names:
            texts = (self._files.read(path) for path in _PCI_IDS)
            listed = next((text for text in texts if text), b"")
            self._names[vendor, device] = _product(listed, vendor, device)
        return self._names[vendor, device]


class _NoAnswerError(Exception):
    """A file cannot be read, or has no number in it."""


def _queues(text: str) -> dict[str, tuple[int, int]]:
    """Read when each queue was looked at, and how long it had worked, both in nanoseconds."""
    head, *lines = [line.split() for line in text.splitlines()] or [[]]
    if not {"queue", "timestamp", "runtime"} <= set(head):
        return {}
    found = {}
    for line in lines:
        fields = dict(zip(head, line, strict=False))
        at, worked = integer(fields.get("timestamp")), integer(fields.get("runtime"))
        if at is not None and worked is not None:
            found[fields["queue"]] = at, worked
    return found


def _product(listed: bytes, vendor: int, device: int) -> str:
    """Find a device in pci.ids.

    Vendors begin lines of their own; their devices follow, with a tab before them. The name that
    a device is sold under stands in brackets behind that of its chip.
    """
    block = re.search(rb"^%04x  .*\n((?:[\t#].*\n)*)" % vendor, listed, re.MULTILINE)
    line = block and re.search(rb"^\t%04x  (.+)$" % device, block[1], re.MULTILINE)
    if not line:
        return ""
    name = line[1].decode("utf-8", "replace").strip()
    sold = re.search(r"\[(.+)\]", name)
    return (sold[1] if sold else name)[:128]
