"""The floor: the least that a Python program pays for reading a host and publishing it.

One thread, psutil, paho, one JSON, no configuration, no errors handled. It reads
what ``pilot-agent`` reads. Nothing useful can cost less than this, and it is
what the agent is measured against.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence

Values = dict[str, float | int | str | bool | None]


class Floor:
    """The values, and the counters that rates are made of.

    Args:
        programs: Names of programs whose processes are summed up, beside all the rest.
    """

    def __init__(self, programs: Sequence[str] = ()) -> None:
        self._programs = programs
        self._values: Values = {}
        self._last: dict[str, float] = {}
        self._read_at = time.monotonic()
        self._elapsed = 0.0

    def read(self) -> Values:
        """Read everything."""
        now = time.monotonic()
        self._elapsed, self._read_at = now - self._read_at, now
        self._values = {}
        self._processor()
        self._memory()
        self._disks()
        self._network()
        self._sensors()
        self._system()
        if self._programs:
            self._processes()
        return self._values

    def _rate(self, key: str, total: float) -> None:
        last = self._last.get(key)
        self._last[key] = total
        self._values[key] = None if last is None else round((total - last) / self._elapsed)

    def _processor(self) -> None:
        values, cores = self._values, psutil.cpu_percent(percpu=True)
        values["cpu.percent"] = round(sum(cores) / len(cores), 1)
        values.update((f"cpu.core.{number}", percent) for number, percent in enumerate(cores))
        values["load_1m"], values["load_5m"], values["load_15m"] = psutil.getloadavg()
        if frequency := psutil.cpu_freq():
            values["cpu.frequency"] = round(frequency.current)
        self._rate("cpu.context_switches", psutil.cpu_stats().ctx_switches)

    def _memory(self) -> None:
        values, memory, swap = self._values, psutil.virtual_memory(), psutil.swap_memory()
        values["memory.percent"], values["memory.used"] = memory.percent, memory.used
        values["memory.available"], values["memory.total"] = memory.available, memory.total
        if swap.total:
            values["swap.percent"], values["swap.used"] = swap.percent, swap.used
            values["swap.total"] = swap.total

    def _disks(self) -> None:
        values, seen = self._values, set()
        for partition in psutil.disk_partitions():
            if partition.device in seen:
                continue
            seen.add(partition.device)
            name = f"disk.{partition.mountpoint}"
            with contextlib.suppress(OSError):
                usage = psutil.disk_usage(partition.mountpoint)
                values[f"{name}.percent"], values[f"{name}.used"] = usage.percent, usage.used
                values[f"{name}.free"], values[f"{name}.total"] = usage.free, usage.total
        for name, disk in psutil.disk_io_counters(perdisk=True).items():
            if not name.startswith(("loop", "ram", "zram")):
                self._rate(f"disk_io.{name}.read", disk.read_bytes)
                self._rate(f"disk_io.{name}.write", disk.write_bytes)

    def _network(self) -> None:
        values, links, addresses = self._values, psutil.net_if_stats(), psutil.net_if_addrs()
        for name, card in psutil.net_io_counters(pernic=True).items():
            if name == "lo" or name not in links or not links[name].isup:
                continue
            self._rate(f"network.{name}.download", card.bytes_recv)
            self._rate(f"network.{name}.upload", card.bytes_sent)
            values[f"network.{name}.received"] = card.bytes_recv
            values[f"network.{name}.sent"] = card.bytes_sent
            values[f"network.{name}.connected"] = links[name].isup
            for address in addresses.get(name, ()):
                if address.family.name in {"AF_INET", "AF_INET6"}:
                    values[f"network.{name}.{address.family.name}"] = address.address

    def _sensors(self) -> None:
        values = self._values
        for chip, sensors in psutil.sensors_temperatures().items():
            for number, sensor in enumerate(sensors):
                values[f"temperature.{chip}.{number}"] = sensor.current
        for chip, fans in psutil.sensors_fans().items():
            for number, fan in enumerate(fans):
                values[f"fan.{chip}.{number}"] = fan.current
        if battery := psutil.sensors_battery():
            values["battery.level"] = battery.percent
            values["battery.plugged"] = battery.power_plugged

    def _system(self) -> None:
        values, own = self._values, psutil.Process()
        values["system.started"] = psutil.boot_time()
        values["system.users"] = len(psutil.users())
        values["system.processes"] = len(psutil.pids())
        values["system.kernel"] = os.uname().release
        values["system.pending_reboot"] = os.path.exists("/run/reboot-required")  # noqa: PTH110
        values["agent.memory"] = own.memory_info().rss
        values["agent.cpu_time"] = sum(own.cpu_times()[:2])

    def _processes(self) -> None:
        found: dict[str, list[psutil.Process]] = {name: [] for name in self._programs}
        for process in psutil.process_iter(["name", "cpu_times", "memory_info"]):
            for name in self._programs:
                if process.info["name"].startswith(name):
                    found[name].append(process)
        for name, processes in found.items():
            every = [process.info for process in processes if process.info["memory_info"]]
            self._values[f"processes.{name}.running"] = bool(every)
            self._values[f"processes.{name}.count"] = len(every)
            self._values[f"processes.{name}.memory"] = sum(one["memory_info"].rss for one in every)
            self._rate(f"processes.{name}.cpu", sum(sum(one["cpu_times"][:2]) for one in every))


def main(host: str, port: int, interval: float, *programs: str) -> None:
    """Publish the values for ever."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="floor")
    client.connect(host, port)
    floor, due = Floor(programs), time.monotonic()
    while True:
        values = floor.read()
        payload = json.dumps({"ts": time.time(), "values": values})
        client.publish("floor/state", payload, retain=True)
        due += interval
        # paho's own loop in this thread wakes up for the socket and for us, and never else.
        while (left := due - time.monotonic()) > 0:
            client.loop(left)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:])
