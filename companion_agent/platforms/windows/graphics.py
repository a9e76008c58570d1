r"""Graphics cards on Windows, by its performance counters, and NVIDIA's by their driver's library.

Windows' scheduler counts the time of each engine (3D, video decoding …) and the memory that is in
use, for each process; no card is asked for it. As in the Task Manager, a card is as busy as the
busiest of its engines.

Sources: "GPUs in the task manager" (devblogs.microsoft.com/directx), the counters
`\GPU Engine(*)` and `\GPU Adapter Memory(*)` of Windows 10 1709 and later.
"""

from __future__ import annotations

from collections import Counter, defaultdict
import re
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import GraphicsCard, GraphicsSample
from companion_agent.platforms.nvml import Nvml
from companion_agent.platforms.pci import GRAPHICS_MAKERS, NVIDIA
from companion_agent.platforms.windows import adapters
from companion_agent.winapi import pdh

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from ctypes import c_void_p

    from companion_agent.platforms.base import GraphicsQuantity, Wanted
    from companion_agent.platforms.windows.adapters import Adapter

_ENGINES = r"\GPU Engine(*)\Utilization Percentage"
_MEMORY = r"\GPU Adapter Memory(*)\Dedicated Usage"
_LUID = re.compile(r"luid_0x([0-9A-Fa-f]{8})_0x([0-9A-Fa-f]{8})_phys_\d+(?:_eng_(\d+)_)?")


class WindowsGraphics:
    """The graphics cards of this computer."""

    def __init__(self) -> None:
        self._query: tuple[pdh.Query, c_void_p, c_void_p] | None = None
        self._nvml = Nvml()
        # Where NVIDIA's cards are on the bus, by LUID.
        self._addresses: dict[int, str] = {}
        self._missing: Unavailable | None = None

    def samples(self, wanted: Wanted) -> list[GraphicsSample]:
        """Read the cards whose label is wanted.

        Raises:
            Unavailable: There is none, or Windows does not tell of them.
        """
        used, busy = self._counters()
        found = dict(_cards(one for one in adapters.adapters() if one.luid in used))
        if not found:
            raise Unavailable("Windows knows no graphics card")
        chosen = {card: adapter for card, adapter in found.items() if wanted(card.label)}
        self._find_nvidia(chosen.values(), used)
        return [self._sample(card, adapter, used, busy) for card, adapter in chosen.items()]

    def _sample(
        self,
        card: GraphicsCard,
        adapter: Adapter,
        used: Mapping[int, float],
        busy: Mapping[int, float],
    ) -> GraphicsSample:
        values: dict[GraphicsQuantity, float | None] = {
            "percent": busy.get(adapter.luid),
            "memory_used": int(used[adapter.luid]),
        }
        if adapter.memory:
            values["memory_total"] = adapter.memory
        left_out: Mapping[GraphicsQuantity, str] = {}
        if adapter.vendor == NVIDIA:
            more, left_out = self._ask_nvidia(adapter, awake=used[adapter.luid] > 0)
            # What Windows counts itself is the same for all makers.
            values = {**more, **values}
        return GraphicsSample(card, values, left_out)

    def _ask_nvidia(
        self, adapter: Adapter, *, awake: bool
    ) -> tuple[Mapping[GraphicsQuantity, float | None], Mapping[GraphicsQuantity, str]]:
        address = self._addresses.get(adapter.luid)
        if not awake:
            known = self._nvml.silent(address) if address else {}
            return known, {} if known else {"temperature": "nothing uses the card, it may sleep"}
        if self._missing:
            return {}, {"temperature": f"{self._missing.reason}; {self._missing.hint}"}
        if not address:
            return {}, {"temperature": "NVIDIA's driver does not have the card"}
        try:
            sample = self._nvml.sample(address)
        except Unavailable as error:
            return self._nvml.silent(address), {"temperature": error.reason}
        return sample.values, sample.left_out

    def _find_nvidia(self, chosen: Iterable[Adapter], used: Mapping[int, float]) -> None:
        """Find out where those of NVIDIA's cards are on the bus that are awake.

        A card whose memory nothing uses may sleep, and is not asked, since that would wake it.
        """
        awake = [one for one in chosen if one.vendor == NVIDIA and used[one.luid]]
        self._missing = None
        if not awake:
            # Cards stay awake as long as a program has them open.
            self._nvml.close()
        if all(one.luid in self._addresses for one in awake):
            return
        try:
            left = self._nvml.cards()
        except Unavailable as error:
            self._missing = error
            return
        for adapter in awake:
            match = next((one for one in left if one.device == adapter.device), None)
            if match:
                left.remove(match)
                self._addresses[adapter.luid] = match.address

    def _counters(self) -> tuple[dict[int, float], dict[int, float]]:
        """Return the memory in use in bytes, and how busy the busiest engine is in %, by LUID."""
        try:
            query, engines, memory = self._opened()
            query.collect()
            used = _by_luid((luid, value) for luid, _, value in _parsed(query.values(memory)))
            load: defaultdict[tuple[int, str], float] = defaultdict(float)
            for luid, engine, value in _parsed(query.values(engines)):
                load[luid, engine] += value
        except OSError as error:
            raise _unavailable(error) from None
        # A card that no program uses has no engines; none at all is the first reading.
        busy = dict.fromkeys(used, 0.0) if load else {}
        for (luid, _), value in load.items():
            busy[luid] = min(max(value, busy.get(luid, 0.0)), 100.0)
        return used, busy

    def _opened(self) -> tuple[pdh.Query, c_void_p, c_void_p]:
        if self._query is None:
            query = pdh.Query()
            try:
                self._query = query, query.add(_ENGINES), query.add(_MEMORY)
            except OSError:
                query.close()
                raise
        return self._query


def _cards(found: Iterable[Adapter]) -> Iterator[tuple[GraphicsCard, Adapter]]:
    """Name each adapter, for as long as it is in this computer."""
    present = sorted(found, key=lambda one: (one.vendor, one.device, one.subsystem, one.luid))
    names = Counter(one.name for one in present)
    seen: Counter[str] = Counter()
    for one in present:
        identity = f"{one.vendor:04x}-{one.device:04x}-{one.subsystem:08x}"
        seen[identity] += 1
        if seen[identity] > 1:
            identity = f"{identity}-{seen[identity]}"
        yield (
            GraphicsCard(
                identity,
                one.name if names[one.name] == 1 else f"{one.name} {identity}",
                f"{one.name} ({identity})",
                GRAPHICS_MAKERS.get(one.vendor, ""),
                one.name,
            ),
            one,
        )


def _parsed(values: Iterable[tuple[str, float]]) -> Iterator[tuple[int, str, float]]:
    """Take the adapter's LUID and the engine's number from the names of instances."""
    for name, value in values:
        if match := _LUID.search(name):
            yield (int(match[1], 16) << 32) + int(match[2], 16), match[3] or "", value


def _by_luid(values: Iterable[tuple[int, float]]) -> dict[int, float]:
    found: defaultdict[int, float] = defaultdict(float)
    for luid, value in values:
        found[luid] += value
    return dict(found)


def _unavailable(error: OSError) -> Unavailable:
    code = pdh.code_of(error)
    if code == pdh.ACCESS_DENIED:
        return Unavailable(
            "Windows does not let this program read its performance counters",
            "add its account to the group 'Performance Monitor Users'",
        )
    if code in {pdh.NO_OBJECT, pdh.NO_COUNTER}:
        return Unavailable(
            "this Windows does not count what graphics cards do",
            "Windows 10 does from version 1709 on, with a driver of WDDM 2.0",
        )
    return Unavailable(f"Windows' performance counters cannot be read: {error}")
