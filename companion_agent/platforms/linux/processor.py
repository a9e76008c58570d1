"""How the processor of a Linux machine is set: by cpufreq, and by a service of power profiles."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError
from companion_agent.platforms.linux import cpufreq, power_profiles
from companion_agent.platforms.linux.dbus import BusError, BusGoneError
from companion_agent.platforms.processor import (
    FREQUENCIES,
    ProcessorControl,
    ProcessorSetting,
    ProcessorState,
)
from companion_agent.platforms.unix import AF_UNIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.platforms.linux.cpufreq import Setting
    from companion_agent.platforms.linux.files import Files
    from companion_agent.platforms.linux.logind import LogindControl
    from companion_agent.platforms.linux.power_profiles import Profile
    from companion_agent.platforms.processor import SettingName

_KHZ = 1000
# Less than a command may take, more than the helper takes for the slowest client before this one.
_HELPER_LIMIT = 6.0
_LONGEST_ANSWER = 4096

# Services that set the same, by the beginning of their process's name in the kernel (15 letters).
_RIVALS = {
    "power-profiles-": "power-profiles-daemon",
    "tuned": "tuned",
    "tlp": "TLP",
    "auto-cpufreq": "auto-cpufreq",
    "thermald": "thermald",
    "cpufreqd": "cpufreqd",
}


class LinuxProcessor(ProcessorControl):
    """Reads sysfs and D-Bus, and has the helper that runs as root write to sysfs.

    Args:
        files: The kernel's files.
        logind: Knows which other permissions the agent's polkit rule has.
    """

    def __init__(self, files: Files, logind: LogindControl) -> None:
        self._files = files
        self._logind = logind
        self._tree = cpufreq.Tree(files.root)
        self._frequencies = cpufreq.Frequencies(self._tree)
        self._socket = files.path(cpufreq.SOCKET)
        self._profile: Profile | None = None

    def state(self) -> ProcessorState:
        """Read sysfs, and ask the service of power profiles."""
        trouble = self._read_profile()
        settings: dict[SettingName, ProcessorSetting] = {}
        profile = self._profile
        if profile is not None:
            settings["profile"] = ProcessorSetting(
                None if trouble else profile.active or None,
                trouble or ("" if profile.active else f"{profile.service} has none active"),
                profile.profiles,
                missing=profile.missing,
            )
        settable = self._files.exists(cpufreq.SOCKET)
        for name, setting in self._frequencies.read().items():
            settings[_NAMES[name]] = _described(setting, settable=settable)
        return ProcessorState(
            settings,
            profile is not None and profile.tells_degraded,
            profile.degraded or None if profile and not trouble else None,
        )

    @property
    def profile_seen(self) -> bool:
        """Whether a service of power profiles has answered once."""
        return self._profile is not None

    def set(self, name: SettingName, value: str | float) -> None:
        """Ask the service of power profiles, or the helper."""
        if name == "profile":
            power_profiles.choose(str(value))
        elif name in FREQUENCIES:
            self._ask(f"{name} {round(float(value) * _KHZ)}")
        elif name == "boost":
            self._ask(f"{name} {int(value)}")
        else:
            self._ask(f"{name} {value}")

    def restore(self) -> bool:
        """Ask the helper, where there is something to put back."""
        found, _ = cpufreq.load(self._tree)
        if not found:
            return False
        self._ask("restore")
        return True

    def overwritten(self) -> Mapping[str, str]:
        """Compare what the helper has set with what there is, and name who may have set that."""
        changed = cpufreq.overwritten(self._tree)
        if not changed:
            return {}
        rivals = self._rivals()
        by = f"; {', '.join(rivals)} runs here" if rivals else ""
        return {
            f"/{path}": f"was set to {wanted} and is {now}{by}"
            for path, (wanted, now) in changed.items()
        }

    def _rivals(self) -> list[str]:
        found = set()
        for number in self._files.names("proc"):
            if number.isdigit():
                name = self._files.text(f"proc/{number}/comm") or ""
                found |= {rival for begins, rival in _RIVALS.items() if name.startswith(begins)}
        return sorted(found)

    def _read_profile(self) -> str:
        """Read the profile; return why it cannot be read, where it could be before."""
        try:
            found = power_profiles.read(
                self._logind.user, self._logind.permissions(), permitted=self._logind.is_root
            )
        except BusGoneError as error:
            return error.text
        except BusError as error:
            return f"the service of power profiles does not answer: {error.text}"
        if found is None:
            return "the service of power profiles does not run"
        self._profile = found
        return ""

    def _ask(self, request: str) -> None:
        """Have the helper do something.

        Raises:
            CommandError: It refuses, or is not there.
        """
        try:
            answer = self._exchange(request)
        except FileNotFoundError:
            detail = "what sets the processor is not installed here: sudo pilot-agent setup"
            raise CommandError("failed", detail) from None
        except PermissionError:
            detail = f"{self._socket} is not for this user: sudo pilot-agent setup"
            raise CommandError("not_permitted", detail) from None
        except TimeoutError:
            detail = "what sets the processor does not answer: journalctl -u pilot-agent-processor"
            raise CommandError("failed", detail) from None
        except (BrokenPipeError, ConnectionResetError):
            answer = ""
        except OSError as error:
            detail = f"what sets the processor cannot be asked: {error.strerror or error}"
            raise CommandError("failed", detail) from error
        if answer != "ok":
            reason = answer or "it ended without an answer: journalctl -u pilot-agent-processor"
            raise CommandError("failed", reason)

    def _exchange(self, request: str) -> str:
        with socket.socket(AF_UNIX) as helper:
            helper.settimeout(_HELPER_LIMIT)
            helper.connect(self._socket)
            helper.sendall(f"{request}\n".encode())
            answer = b""
            while not answer.endswith(b"\n") and len(answer) < _LONGEST_ANSWER:
                more = helper.recv(_LONGEST_ANSWER)
                if not more:
                    break
                answer += more
        return answer.decode("ascii", "replace").strip()


_NAMES: dict[str, SettingName] = {
    cpufreq.GOVERNOR: "governor",
    cpufreq.ENERGY_PREFERENCE: "energy_preference",
    cpufreq.MINIMUM: "minimum_frequency",
    cpufreq.MAXIMUM: "maximum_frequency",
    cpufreq.BOOST: "boost",
}


def _described(setting: Setting, *, settable: bool) -> ProcessorSetting:
    value = setting.value
    if setting.range is None:
        return ProcessorSetting(value, setting.trouble, setting.options, settable=settable)
    return ProcessorSetting(
        value / _KHZ if isinstance(value, int) else None,
        setting.trouble,
        minimum=setting.range.lowest / _KHZ,
        maximum=setting.range.highest / _KHZ,
        step=setting.range.step / _KHZ,
        settable=settable,
    )
