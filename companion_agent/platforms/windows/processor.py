"""How the processor of a Windows machine is set: by the power plan, and limits within it.

Plans outlast a restart of Windows. So what was found is kept for as long: a machine that lost its
power while the agent had it slowed down is as it was found when the agent runs again.
"""

from __future__ import annotations

from contextlib import suppress
import json
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from companion_agent.errors import CommandError, Unavailable
from companion_agent.models import Missing
from companion_agent.platforms.processor import (
    FREQUENCIES,
    ProcessorControl,
    ProcessorSetting,
    ProcessorState,
)
from companion_agent.winapi import battery, power_plans, registry
from companion_agent.winapi.registry import RegistryTexts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.platforms.processor import SettingName

_KEPT = rf"{registry.AGENT}\processor"
_FOUND, _SET = "found", "set"
_IS_SET = "processor is set"

# The words that power-profiles-daemon has for the same, so that an automation fits both systems.
_PROFILES = {
    power_plans.POWER_SAVER: "power-saver",
    power_plans.BALANCED: "balanced",
    power_plans.HIGH_PERFORMANCE: "performance",
    power_plans.ULTIMATE_PERFORMANCE: "ultimate-performance",
}
_SETTINGS: Mapping[SettingName, UUID] = {
    "minimum_frequency": power_plans.MINIMUM,
    "maximum_frequency": power_plans.MAXIMUM,
    "boost": power_plans.BOOST_MODE,
}
_NOT_PERMITTED = {
    power_plans.ACCESS_DENIED: Missing(
        "administrator",
        "the account of the agent may not change power plans: run the service with the account "
        "that `pilot-agent setup` gives it, or deny the agent `processor.*`",
    ),
    power_plans.DISABLED_BY_POLICY: Missing(
        "policy",
        "a group policy keeps power plans as they are (Computer Configuration, Administrative "
        "Templates, System, Power Management)",
    ),
}


class _Place(NamedTuple):
    """Where a value is: a setting of a plan, with external power or without."""

    plan: UUID
    setting: UUID
    plugged: bool

    def __str__(self) -> str:
        return f"{self.plan}/{self.setting}/{'plugged' if self.plugged else 'battery'}"

    @classmethod
    def read(cls, text: str) -> _Place:
        """Return what was written.

        Raises:
            ValueError: This was not.
        """
        plan, setting, source = text.split("/")
        return cls(UUID(plan), UUID(setting), source == "plugged")


_ACTIVE = "active plan"
_Kept = dict[str, str | int]


class WindowsProcessor(ProcessorControl):
    """Reads and sets the active power plan, and the processor's limits in it."""

    def __init__(self) -> None:
        self._kept = RegistryTexts(_KEPT, lasting=True)
        self._boot = registry.of_this_boot()
        self._looked_back = False

    def state(self) -> ProcessorState:
        """Ask for the active plan, and for what it says."""
        self._look_back()
        try:
            plan, options = power_plans.active(), _options()
        except OSError as error:
            raise Unavailable(f"Windows does not tell its power plans: {error}") from error
        profile = options.get(plan)
        settings: dict[SettingName, ProcessorSetting] = {
            "profile": ProcessorSetting(
                profile,
                "" if profile else "the active plan is none of those that there are",
                tuple(options.values()),
                missing=_missing(None),
            )
        }
        plugged, nominal = _plugged(), _nominal()
        for name, setting in _SETTINGS.items():
            if name in FREQUENCIES and not nominal:
                continue
            with suppress(OSError):
                value = power_plans.read(plan, setting, plugged=plugged)
                settings[name] = _described(name, value, nominal, _missing(setting))
        return ProcessorState(settings)

    def set(self, name: SettingName, value: str | float) -> None:
        """Change the plan, or what the active one says with external power and without."""
        try:
            if name == "profile":
                self._choose(str(value))
            else:
                self._change(name, float(value))
        except OSError as error:
            raise _refused(error) from error

    def restore(self) -> bool:
        """Put back what was found."""
        found, _ = self._load()
        if not found:
            return False
        failed = _put_all(found)
        self._save({}, {})
        if failed:
            raise CommandError("failed", f"not put back: {', '.join(map(_called, failed))}")
        return True

    def overwritten(self) -> Mapping[str, str]:
        """Compare what was set with what there is."""
        _, was_set = self._load()
        changed = {}
        for place, value in was_set.items():
            with suppress(OSError, ValueError):
                if (now := _look(place)) != value:
                    changed[_called(place)] = f"was set to {value} and is {now}"
        return changed

    def _choose(self, profile: str) -> None:
        plan = next((one for one, called in _options().items() if called == profile), None)
        if plan is None:
            raise CommandError("failed", f"there is no power plan {profile} any more")
        self._carry_out({_ACTIVE: str(power_plans.active())}, {_ACTIVE: str(plan)})

    def _change(self, name: SettingName, value: float) -> None:
        plan, setting = power_plans.active(), _SETTINGS[name]
        # Whichever power there is when: the limit is the machine's.
        places = [str(_Place(plan, setting, plugged)) for plugged in (True, False)]
        before = {place: _look(place) for place in places}
        wanted = {place: self._number(name, value, before[place]) for place in before}
        self._carry_out(before, wanted)

    def _carry_out(self, before: Mapping[str, str | int], wanted: Mapping[str, str | int]) -> None:
        """Set something, and read it back.

        Raises:
            CommandError: It did not come to be; all is as before.
            OSError: It was refused; all is as before.
        """
        self._look_back()
        found, was_set = self._load()
        # What is remembered has to be written before anything is changed.
        self._save({**before, **found}, {**was_set, **wanted})
        self._boot.write(_IS_SET, "yes")
        try:
            for place, value in wanted.items():
                _put(place, value)
            power_plans.activate(power_plans.active())
            _read_back(wanted)
        except (OSError, CommandError):
            _put_all(before)
            self._save(found, was_set)
            raise

    def _number(self, name: SettingName, value: float, before: str | int) -> int:
        if name != "boost":
            return round(value / (_nominal() or value or 1) * 100)
        if not value:
            return power_plans.BOOST_OFF
        # The way of boosting that it had before it was switched off, or has.
        found, _ = self._load()
        ways = [before, *(one for place, one in found.items() if str(_SETTINGS[name]) in place)]
        return next((int(one) for one in ways if one), power_plans.BOOST_AGGRESSIVE)

    # --- What is kept --------------------------------------------------------------------

    def _look_back(self) -> None:
        """Put back what an agent before the last start of Windows had set."""
        if self._looked_back:
            return
        self._looked_back = True
        with suppress(OSError, CommandError):
            if not self._boot.read(_IS_SET):
                self.restore()

    def _load(self) -> tuple[_Kept, _Kept]:
        loaded: list[_Kept] = []
        for name in (_FOUND, _SET):
            kept: object = None
            with suppress(OSError, ValueError):
                kept = json.loads(self._kept.read(name) or "{}")
            loaded.append(kept if isinstance(kept, dict) else {})
        return loaded[0], loaded[1]

    def _save(self, found: _Kept, was_set: _Kept) -> None:
        self._kept.write(_FOUND, json.dumps(found) if found else "")
        self._kept.write(_SET, json.dumps(was_set) if was_set else "")


def _options() -> dict[UUID, str]:
    """Return what the plans are called."""
    called: dict[UUID, str] = {}
    for plan in power_plans.plans():
        name = _PROFILES.get(plan)
        if name is None:
            with suppress(OSError):
                name = power_plans.name(plan)
        name = name or str(plan)
        called[plan] = f"{name} ({plan})" if name in called.values() else name
    return called


def _described(
    name: SettingName, value: int, nominal: int, missing: Missing | None
) -> ProcessorSetting:
    if name == "boost":
        return ProcessorSetting(value != power_plans.BOOST_OFF, missing=missing)
    # Windows counts in percent of what the processor does without its boost.
    step = nominal / 100
    return ProcessorSetting(
        value * step, minimum=step, maximum=float(nominal), step=step, missing=missing
    )


def _missing(setting: UUID | None) -> Missing | None:
    with suppress(OSError):
        return _NOT_PERMITTED.get(power_plans.refusal(setting))
    return None


def _nominal() -> int:
    with suppress(OSError):
        return power_plans.nominal_frequency()
    return 0


def _plugged() -> bool:
    with suppress(OSError):
        return bool(battery.power_status().on_line)
    return True


def _look(place: str) -> str | int:
    if place == _ACTIVE:
        return str(power_plans.active())
    where = _Place.read(place)
    return power_plans.read(where.plan, where.setting, plugged=where.plugged)


def _put(place: str, value: str | int) -> None:
    if place == _ACTIVE:
        power_plans.activate(UUID(str(value)))
        return
    where = _Place.read(place)
    power_plans.write(where.plan, where.setting, int(value), plugged=where.plugged)


def _put_all(values: Mapping[str, str | int]) -> list[str]:
    """Set values, and have the active plan take them; return those that it did not work for."""
    failed = []
    for place, value in values.items():
        try:
            _put(place, value)
        except (OSError, ValueError):
            failed.append(place)
    with suppress(OSError):
        power_plans.activate(power_plans.active())
    return failed


def _read_back(wanted: Mapping[str, str | int]) -> None:
    for place, value in wanted.items():
        if (now := _look(place)) != value:
            detail = f"Windows accepted {value} for {_called(place)}, and keeps {now}"
            raise CommandError("failed", detail)


def _called(place: str) -> str:
    """Return what a place is called where people read it."""
    with suppress(ValueError):
        where = _Place.read(place)
        name = next((name for name, one in _SETTINGS.items() if one == where.setting), "?")
        plan = _PROFILES.get(where.plan) or str(where.plan)
        source = "with external power" if where.plugged else "on the battery"
        return f"{name} of the plan {plan}, {source}"
    return place


def _refused(error: OSError) -> CommandError:
    missing = _NOT_PERMITTED.get(getattr(error, "winerror", 0))
    if missing:
        return CommandError("not_permitted", missing.fix)
    return CommandError("failed", f"Windows refuses it: {error}")
