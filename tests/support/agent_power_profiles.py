"""Services of power profiles on a system bus, played by python-dbusmock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .agent_logind import MOCK

if TYPE_CHECKING:
    from .agent_logind import SystemBus

HADESS = "net.hadess.PowerProfiles"
UPOWER = "org.freedesktop.UPower.PowerProfiles"
TUNED = "com.redhat.tuned"
PATHS = {
    HADESS: "/net/hadess/PowerProfiles",
    UPOWER: "/org/freedesktop/UPower/PowerProfiles",
    TUNED: "/Tuned",
}


class FakeProfiles:
    """A service of power profiles that is played."""

    def __init__(self, bus: SystemBus, name: str) -> None:
        self.bus = bus
        self.name = name
        self.interface = f"{TUNED}.control" if name == TUNED else name
        if name == HADESS:
            bus.play("power_profiles_daemon", name)
            return
        bus.serve(name, PATHS[name], self.interface)
        if name == UPOWER:
            profiles = [
                {"Profile": ("s", profile), "Driver": ("s", "played")}
                for profile in ("power-saver", "balanced", "performance")
            ]
            self._mock(
                "AddProperties",
                "sa{sv}",
                name,
                {
                    "ActiveProfile": ("s", "balanced"),
                    "PerformanceDegraded": ("s", ""),
                    "Profiles": ("aa{sv}", profiles),
                },
            )
        else:
            self.method("profiles", "", "as", "ret = ['balanced', 'powersave', 'throughput']")
            self.method("active_profile", "", "s", "ret = getattr(self, 'now', 'balanced')")
            self.method("switch_profile", "s", "(bs)", "self.now = args[0]; ret = (True, 'OK')")

    def method(self, name: str, takes: str, gives: str, code: str) -> None:
        self._mock("AddMethod", "sssss", self.interface, name, takes, gives, code)

    def choose_by_hand(self, profile: str) -> None:
        """Do what a user does by hand."""
        if self.name == TUNED:
            told = [("s", profile), ("b", True), ("s", "OK")]
            self._mock("EmitSignal", "sssav", self.interface, "profile_changed", "sbs", told)
        else:
            self.change(ActiveProfile=profile)

    def change(self, **properties: str) -> None:
        """Change properties, and say so."""
        changed = {name: ("s", value) for name, value in properties.items()}
        self._mock("UpdateProperties", "sa{sv}", self.interface, changed)

    def _mock(self, method: str, signature: str, *args: Any) -> None:
        self.bus.call(self.name, PATHS[self.name], MOCK, method, signature, *args)
