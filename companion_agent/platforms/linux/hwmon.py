"""Temperatures and fans, from hwmon and, where hwmon has no equivalent, from thermal zones.

Sources: Documentation/hwmon/sysfs-interface.rst, Documentation/ABI/testing/sysfs-class-thermal.
"""

from __future__ import annotations

from collections import Counter
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import Sensor
from companion_agent.platforms.time_limit import TimeLimitedCalls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from companion_agent.platforms.base import Wanted
    from companion_agent.platforms.linux.files import Files

_HWMON = "sys/class/hwmon"
_THERMAL = "sys/class/thermal"
# What the names of thermal zones begin with in keys.
_ZONE = "zone-"
# In the addresses of PCI, I2C and SCSI devices.
_SEPARATORS = re.compile(r"[:.]")
_INPUT = re.compile(r"(temp|fan)(\d{1,4})_input")
# Chips appear with a new link, which is seen at once; their inputs may come later.
_RESCAN_AFTER = 20

# What hwmon's processor drivers are called, best first; a label picks the input that is meant.
_PROCESSOR_CHIPS: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = (
    (re.compile(r"coretemp$"), re.compile(r"Package id|Physical id")),
    (re.compile(r"coretemp$"), re.compile(r"Core ")),
    (re.compile(r"(k10temp|zenpower)$"), re.compile(r"Tdie$")),
    (re.compile(r"(k10temp|zenpower)$"), re.compile(r"Tctl$")),
    (re.compile(r"(k10temp|k8temp|zenpower|via_cputemp|cputemp)$"), re.compile(r"")),
    (re.compile(r"cpu\w*thermal\w*|soc_?thermal|x86_pkg_temp|cpu_?\d*$"), re.compile(r"")),
    # Rockchip's zones: the whole chip, and its groups of cores.
    (re.compile(r"package_thermal"), re.compile(r"")),
    (re.compile(r"(big|little|mid)?core\d*_thermal|CPU_therm"), re.compile(r"")),
    (re.compile(r"(thinkpad|dell_smm|dell_ddv|asus_?ec\w*|applesmc)$"), re.compile(r"CPU")),
)

# Inputs of these chips lead to sockets on the board, many with nothing in them: a fan that never
# turned, a temperature of a fixed number. Others are built in, and a fan of 0 rpm is resting.
_BOARD_CHIP = re.compile(r"nct|it8|w83|f71|f81|sch\d|dme1737|smsc47|asc7|lm\d|adt7|pc87|vt1211")
# -40 and below is where the scales of embedded controllers and of thermistors end.
_OPEN_INPUTS = frozenset({127.0, 127.5, 128.0})
_COLDEST, _HOTTEST = -40.0, 150.0  # °C
# Kernels of boards' makers have zones that say 45 for 45 °C.
_FULL_DEGREES = 150
# 65535 is what an embedded controller says while it does not know.
_FASTEST_FAN = 60_000

# Zones that only repeat a hwmon chip of another name, or hold no measurement at all.
_REPEATS = {"x86_pkg_temp": "coretemp", "TCPU": "coretemp"}
_NO_MEASUREMENT = re.compile(r"INT340|int340")

Quantity = Literal["temp", "fan"]


class _Input(NamedTuple):
    """One `tempN_input`, `fanN_input` or thermal zone.

    Attributes:
        chip: Its chip's lasting name, and `chip_name` the driver's name for it.
        printed: Its own label, and `label` that together with the chip's name.
        fault: File that says whether the sensor is broken; may be empty, as may `power`.
        power: File that says whether the device sleeps.
        on_board: It may be a socket with nothing in it.
        card: The id of the graphics card that it is on; may be empty.
    """

    quantity: Quantity
    chip: str
    chip_name: str
    name: str
    printed: str
    label: str
    path: str
    fault: str
    power: str
    on_board: bool
    card: str = ""

    @property
    def is_zone(self) -> bool:
        """Whether this is a thermal zone."""
        return self.chip.startswith(_ZONE)

    def is_constant(self, raw: int) -> bool:
        """Tell whether this is the 100 °C that a Jetson's power chip always says."""
        return raw == 100_000 and self.chip.lower().startswith(f"{_ZONE}pmic")


class _Chip(NamedTuple):
    """A chip and where its files are."""

    folder: str
    name: str
    address: str


class Hwmon:
    """The sensors of one machine.

    Which sensors there are is remembered; a pass reads one file for each of them. The memory is
    replaced as a whole, so that collectors in different workers may ask at the same time.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._inputs: tuple[_Input, ...] = ()
        self._seen: tuple[dict[str, str], dict[str, str]] | None = None
        self._passes = 0
        self._alive: set[tuple[str, str]] = set()
        # A disk that dies keeps its driver waiting for half a minute.
        self._reads: TimeLimitedCalls[_Input, Sensor] = TimeLimitedCalls(self._sensor)

    def temperatures(self, wanted: Wanted) -> list[Sensor]:
        """Read the temperatures whose label is wanted.

        Raises:
            Unavailable: The machine shows none.
        """
        found, is_all = self._read("temp", wanted)
        if is_all and all(sensor.doubt for sensor in found):
            raise Unavailable(
                f"the kernel shows no temperature sensors{_doubts(found)}",
                "on a PC, load the driver of its sensors: 'modprobe coretemp' (Intel), "
                "'modprobe k10temp' (AMD), or run 'sensors-detect' of lm-sensors; "
                "a virtual machine or container has none",
            )
        return found

    def fans(self, wanted: Wanted) -> list[Sensor]:
        """Read the fans whose label is wanted.

        Raises:
            Unavailable: The machine shows none that has ever turned.
        """
        found, is_all = self._read("fan", wanted)
        if is_all and all(sensor.doubt for sensor in found):
            raise Unavailable(
                f"the kernel shows no fans{_doubts(found)}",
                "the board's sensor chip may need a driver: run 'sensors-detect' of lm-sensors",
            )
        return found

    def processor(self) -> float | None:
        """Return the processor's own temperature in °C; the hottest where there are several."""
        inputs = [one for one in self._current() if one.quantity == "temp"]
        for chip, label in _PROCESSOR_CHIPS:
            chosen = [
                one for one in inputs if chip.match(one.chip_name) and label.match(one.printed)
            ]
            values = [value for one in chosen if (value := self._measure(one)[0]) is not None]
            if values:
                return max(values)
        return None

    def _read(self, quantity: Quantity, wanted: Wanted) -> tuple[list[Sensor], bool]:
        """Read the inputs that are wanted; tell whether that is all that there are."""
        inputs = [one for one in self._current() if one.quantity == quantity]
        # Reading one wakes disks and graphics cards: what is not wanted is not opened.
        chosen = [one for one in inputs if wanted(one.label)]
        sensors = self._reads.results(chosen)
        return [sensors.get(one) or self._silent(one) for one in chosen], len(chosen) == len(inputs)

    def _silent(self, one: _Input) -> Sensor:
        doubt = "" if (one.chip, one.name) in self._alive else "it does not answer"
        return Sensor(one.chip, one.name, one.label, None, doubt, one.card)

    def _sensor(self, one: _Input) -> Sensor:
        value, doubt = self._measure(one)
        identity = (one.chip, one.name)
        # What is built in, or had something at its end once, has it still.
        if not doubt or (one.quantity == "fan" and not one.on_board):
            self._alive.add(identity)
            doubt = ""
        elif identity in self._alive:
            doubt = ""
        return Sensor(one.chip, one.name, one.label, value, doubt, one.card)

    def _measure(self, one: _Input) -> tuple[float | None, str]:
        """Return an input's value, and why there may be no sensor at its end."""
        # Asking a graphics card that sleeps would wake it up, every time.
        if one.power and self._files.text(one.power) in {"suspended", "suspending"}:
            return None, "its device sleeps"
        raw = self._files.number(one.path)
        if raw is None:
            return None, "it cannot be read"
        if one.fault and self._files.number(one.fault) == 1:
            return None, "its chip says that it is broken"
        if one.quantity == "fan":
            if not 0 <= raw < _FASTEST_FAN:
                return None, f"it says {raw} rpm"
            return float(raw), "it has never turned" if one.on_board and not raw else ""
        celsius = raw / 1000
        says = f"it says {celsius:g} °C"
        if not _COLDEST < celsius <= _HOTTEST:
            return None, says
        if (one.on_board and celsius in _OPEN_INPUTS) or one.is_constant(raw):
            return None, f"{says}, as inputs do that measure nothing"
        if one.is_zone and 0 < raw < _FULL_DEGREES:
            return celsius, f"it says {raw}, which may be whole degrees instead of thousandths"
        return celsius, says if one.on_board and not celsius else ""

    def _current(self) -> tuple[_Input, ...]:
        # With their targets: a number that became free is given to the next chip that comes.
        seen = (self._files.links(_HWMON), self._files.links(_THERMAL))
        self._passes += 1
        if seen != self._seen or self._passes > _RESCAN_AFTER:
            self._inputs = tuple(self._scan(*seen))
            self._seen = seen
            self._passes = 0
        return self._inputs

    def _scan(self, hwmon: Iterable[str], zones: Iterable[str]) -> list[_Input]:
        chips = _distinct(chip for name in hwmon if (chip := self._chip(name)))
        names = Counter(chip.name for chip in chips)
        inputs = []
        for chip in chips:
            title = chip.name if names[chip.name] == 1 else f"{chip.name} {chip.address}"
            inputs += self._chip_inputs(chip, title)
        return inputs + self._zone_inputs(zones, set(names))

    def _chip(self, entry: str) -> _Chip | None:
        folder = f"{_HWMON}/{entry}"
        name = self._files.text(f"{folder}/name")
        if not name:
            # Drivers from before 2013 put everything into the device's folder.
            folder = f"{folder}/device"
            name = self._files.text(f"{folder}/name")
        return _Chip(folder, name, self._address(entry)) if name else None

    def _address(self, entry: str) -> str:
        """Return where on its bus a chip sits, which outlasts the order of discovery.

        "hwmon3" and "nvme0" are numbered as they are found; the slot "0000:01:00.0" that they
        hang on, the first device of a bus above them, stays. Empty for chips without hardware.
        """
        path = self._files.target(f"{_HWMON}/{entry}/device") or ""
        while path.count("/") > 2:
            bus = self._files.target(f"{path}/subsystem")
            if bus and bus.startswith("sys/bus/"):
                return path.rpartition("/")[2]
            path = path.rpartition("/")[0]
        return ""

    def _chip_inputs(self, chip: _Chip, title: str) -> list[_Input]:
        prefix = f"{chip.name}."
        address = chip.address.removeprefix(prefix)
        identity = bus_id(f"{chip.name}-{address}" if address else chip.name)
        power = f"{chip.folder}/device/power/runtime_status"
        sleeps = self._files.text(power) in {"active", "suspended", "suspending", "resuming"}
        # Board chips only have drawn-up sockets when they are on the board's own bus; the same
        # names never occur on PCI.
        on_board = bool(_BOARD_CHIP.match(chip.name))
        # A device with a DRM node is a graphics card.
        is_card = chip.address and self._files.is_folder(f"{chip.folder}/device/drm")
        inputs = []
        for file in self._files.names(chip.folder):
            match = _INPUT.fullmatch(file)
            if match:
                name = match[1] + match[2]
                printed = self._files.text(f"{chip.folder}/{name}_label") or name
                fault = f"{chip.folder}/{name}_fault"
                inputs.append(
                    _Input(
                        quantity="temp" if match[1] == "temp" else "fan",
                        chip=identity,
                        chip_name=chip.name,
                        name=name,
                        printed=printed,
                        label=f"{title} {printed}",
                        path=f"{chip.folder}/{file}",
                        fault=fault if self._files.exists(fault) else "",
                        power=power if sleeps else "",
                        on_board=on_board,
                        card=bus_id(chip.address) if is_card else "",
                    )
                )
        return _with_distinct_labels(sorted(inputs, key=_number))

    def _zone_inputs(self, zones: Iterable[str], chips: set[str]) -> list[_Input]:
        inputs = []
        kinds: Counter[str] = Counter()
        for zone in zones:
            folder = f"{_THERMAL}/{zone}"
            kind = self._files.text(f"{folder}/type") if zone.startswith("thermal_zone") else None
            if not kind or _NO_MEASUREMENT.match(kind):
                continue
            # hwmon's own name for a zone may not have a dash.
            if kind.replace("-", "_") in chips or _REPEATS.get(kind) in chips:
                continue
            kinds[kind] += 1
            inputs.append(
                _Input(
                    quantity="temp",
                    chip=f"{_ZONE}{kind}",
                    chip_name=kind.replace("-", "_"),
                    name=f"temp{kinds[kind]}",
                    printed="",
                    label=kind if kinds[kind] == 1 else f"{kind} {kinds[kind]}",
                    path=f"{folder}/temp",
                    fault="",
                    power="",
                    on_board=False,
                )
            )
        return inputs


def bus_id(address: str) -> str:
    """Return an address on a bus as names and keys have it: `0000-0b-00-0`."""
    return _SEPARATORS.sub("-", address)


def _doubts(sensors: list[Sensor]) -> str:
    if not sensors:
        return ""
    named = "; ".join(f"{sensor.label}: {sensor.doubt}" for sensor in sensors)
    return f" that measure anything ({named})"


def _number(one: _Input) -> tuple[str, int]:
    return one.quantity, int(one.name.lstrip("tempfan"))


def _distinct(chips: Iterable[_Chip]) -> list[_Chip]:
    """Number chips without hardware that share a name; nothing else tells them apart."""
    seen: Counter[tuple[str, str]] = Counter()
    result = []
    for chip in chips:
        seen[chip.name, chip.address] += 1
        count = seen[chip.name, chip.address]
        result.append(chip if count == 1 else chip._replace(address=f"{chip.address}{count}"))
    return result


def _with_distinct_labels(inputs: list[_Input]) -> list[_Input]:
    labels = Counter((one.quantity, one.label) for one in inputs)
    return [
        one
        if labels[one.quantity, one.label] == 1
        else one._replace(label=f"{one.label} {one.name}")
        for one in inputs
    ]
