"""A library of NVIDIA's driver, compiled for the tests; nvidia-ml-py before it is the real one.

What it answers are variables that a test sets. A status that is not 0 is an error of NVML's.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NOT_SUPPORTED, LOST, MISMATCH, NO_PERMISSION = 3, 15, 18, 4

# The structures are those of nvml.h: nvmlUtilization_t, nvmlMemory_t, nvmlPciInfo_t (v3).
_SOURCE = r"""
#include <string.h>
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct {
    char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32];
} pci;

int init_status, card_status, utilization_status, memory_status, temperature_status;
int threshold_status, power_status, clock_status, fan_status;
unsigned gpu = 42, temperature = 61, slowdown = 93, milliwatts = 71500, megahertz = 1710, fan = 35;
unsigned long long used = 2ULL << 30, total = 8ULL << 30;
int opened, closed;

int nvmlInitWithFlags(unsigned flags) { if (!init_status) opened++; return init_status; }
int nvmlShutdown(void) { closed++; return 0; }
const char *nvmlErrorString(int status) {
    switch (status) {
        case 3: return "Not Supported";
        case 4: return "Insufficient Permissions";
        case 15: return "GPU is lost";
        case 18: return "Driver/library version mismatch";
        default: return "Unknown Error";
    }
}
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **card) {
    *card = &gpu; return card_status;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *address, void **card) {
    *card = &gpu; return strcmp(address, "0000:01:00.0") ? 6 : card_status;
}
int nvmlDeviceGetPciInfo_v3(void *card, pci *info) {
    memset(info, 0, sizeof *info); info->bus = 1; info->id = 0x220610de; return 0;
}
int nvmlDeviceGetUtilizationRates(void *card, utilization *answer) {
    answer->gpu = gpu; answer->memory = 9; return utilization_status;
}
int nvmlDeviceGetMemoryInfo(void *card, memory *answer) {
    answer->total = total; answer->used = used; answer->free = total - used;
    return memory_status;
}
int nvmlDeviceGetTemperature(void *card, int sensor, unsigned *celsius) {
    *celsius = temperature; return temperature_status;
}
int nvmlDeviceGetTemperatureThreshold(void *card, int which, unsigned *celsius) {
    *celsius = which == 1 ? slowdown : 98; return threshold_status;
}
int nvmlDeviceGetPowerUsage(void *card, unsigned *answer) {
    *answer = milliwatts; return power_status;
}
int nvmlDeviceGetClockInfo(void *card, int which, unsigned *answer) {
    *answer = megahertz; return clock_status;
}
#ifndef WITHOUT_FAN
int nvmlDeviceGetFanSpeed(void *card, unsigned *answer) { *answer = fan; return fan_status; }
#endif
"""


def compiler() -> str | None:
    """Return the C compiler; `None` without one."""
    return shutil.which("gcc") or shutil.which("cc")


def build(folder: Path, *options: str) -> Path:
    """Compile the library into a folder, under the name that the driver gives it."""
    folder.mkdir(parents=True, exist_ok=True)
    source, library = folder / "nvml.c", folder / "libnvidia-ml.so.1"
    source.write_text(_SOURCE)
    command = [str(compiler()), "-shared", "-fPIC", *options, "-o", str(library), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return library


class StubNvml:
    """What a compiled library answers."""

    def __init__(self, library: Path) -> None:
        self.path = library
        self._library = ctypes.CDLL(str(library))

    def set(self, **values: int) -> None:
        """Set what it answers, by the names of its variables."""
        for name, value in values.items():
            sized = ctypes.c_ulonglong if name in {"used", "total"} else ctypes.c_int
            sized.in_dll(self._library, name).value = value

    def count(self, name: str) -> int:
        """Return how often it was `opened` or `closed`."""
        return ctypes.c_int.in_dll(self._library, name).value
