"""Commands as people give them: buttons, the power switch and actions, in a real front end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect
import pytest
from security.commanded import LOCK

from stack.browser import screenshot
from stack.console import StackError
from stack.process import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from security.attacker import Attacker
    from security.commanded import Commanded
    from security.conftest import MakeCommanded, OpenPage

    from stack.homeassistant import HomeAssistant

pytestmark = pytest.mark.proves("power.shutdown", "session.lock", "session.locked")


class ManualHostClock:
    """A clock that a host believes in.

    Args:
        folder: For what leads its agent there.
    """

    def __init__(self, folder: Path) -> None:
        self._ahead = folder / "ahead"
        modules = folder / "manual-clock"
        modules.mkdir()
        (modules / "sitecustomize.py").write_text(_SITE_CUSTOMIZE, encoding="utf-8")
        self.env = {"PYTHONPATH": str(modules), "PILOT_TEST_CLOCK": str(self._ahead)}
        self.set(ahead=0)

    def set(self, *, ahead: float) -> None:
        """Set it before or behind the real one, in seconds."""
        fresh = self._ahead.with_suffix(".new")
        fresh.write_text(str(ahead), encoding="ascii")
        fresh.replace(self._ahead)


_SITE_CUSTOMIZE = """
import os, time

real = time.time


def manual():
    with open(os.environ["PILOT_TEST_CLOCK"]) as file:
        return real() + float(file.read())


time.time = manual
"""


def act(host: Commanded, action: str, **data: Any) -> Any:
    """Call an action for a host; an error is raised as the user sees it."""
    domain, _, service = action.partition(".")
    return host.ha.ws(
        "call_service",
        domain=domain,
        service=service,
        service_data=data,
        target={"device_id": host.device["id"]},
        return_response=action == "pilot.send_command",
    )


@pytest.mark.browser
def test_buttons_of_the_device_page(
    commanded: Commanded, open_page: OpenPage, artifacts: Path
) -> None:
    with open_page(f"/config/devices/device/{commanded.device['id']}", height=1300) as page:
        for name, order in (("Lock", "LockSession"), ("Suspend", "Suspend")):
            row = page.locator("hui-button-entity-row", has_text=name).first
            row.get_by_text("Press").click()
            assert wait_for(commanded.machine.orders, f"the order to {name}") == [order]
            commanded.machine.forget()
        screenshot(page, artifacts / "buttons.png")


@pytest.mark.browser
def test_power_switch_of_the_device_page(
    commanded: Commanded, open_page: OpenPage, artifacts: Path
) -> None:
    with open_page(f"/config/devices/device/{commanded.device['id']}", height=1300) as page:
        row = page.locator("hui-toggle-entity-row", has_text="Power").first
        row.locator("ha-entity-toggle").click()
        assert wait_for(commanded.machine.orders, "the order") == ["PowerOff"]

        # The machine is a played one: what follows is that of a service that is stopped.
        commanded.agent.stop()

        commanded.wait_for_state("power", "off")
        screenshot(page, artifacts / "switched-off.png")


def test_shutdown_with_a_delay_and_called_off(commanded: Commanded) -> None:
    act(commanded, "pilot.shutdown", delay={"minutes": 5})
    act(commanded, "pilot.cancel_shutdown")

    assert commanded.machine.orders() == ["ScheduleShutdown", "CancelScheduledShutdown"]


def test_any_command_and_what_became_of_it(commanded: Commanded) -> None:
    answer = act(commanded, "pilot.send_command", command=LOCK)

    [told] = answer["response"].values()
    assert told["status"] == "done"
    assert commanded.machine.orders() == ["LockSession"]


def test_asleep_and_awake_again(commanded: Commanded) -> None:
    commanded.machine.fall_asleep()
    commanded.wait_for_status("asleep")
    assert commanded.state("power")["state"] == "off"

    woke = time.monotonic()
    commanded.machine.wake_up()

    commanded.wait_for_status("online")
    commanded.wait_for_fresh_values(since=woke)
    assert commanded.obeys()


@pytest.mark.browser
def test_lock_is_shown_and_survives_a_restart(
    commanded: Commanded, open_page: OpenPage, artifacts: Path
) -> None:
    """It follows the desktop at once, and is asked for where no event came."""
    commanded.wait_for_state("session.locked", "on")

    commanded.machine.lock()

    commanded.wait_for_state("session.locked", "off")
    commanded.wait_for_state(
        "session_event", lambda state: state["attributes"].get("event_type") == "locked"
    )
    commanded.agent.restart()
    commanded.wait_for_status("online")
    commanded.wait_for_state("session.locked", "off")
    commanded.ha.reload_entry(commanded.entry["entry_id"])
    commanded.wait_for_state("session.locked", "off")
    with open_page(f"/config/devices/device/{commanded.device['id']}", height=1600) as page:
        page.get_by_text("Screen lock", exact=True).first.wait_for()
        screenshot(page, artifacts / "locked.png")
    commanded.machine.lock(False)
    commanded.wait_for_state("session.locked", "on")


# -- what goes wrong is said -------------------------------------------------------------------


@pytest.mark.browser
def test_refusal_is_shown_in_the_browser(
    make_commanded: MakeCommanded, open_page: OpenPage, artifacts: Path
) -> None:
    host = make_commanded(commands={"cooldown": {"session.*": 3600}}).start().add_with_code()
    host.press(LOCK)

    with open_page(f"/config/devices/device/{host.device['id']}", height=1300) as page:
        page.locator("hui-button-entity-row", has_text="Lock").first.get_by_text("Press").click()
        toast = page.locator("notification-manager")
        expect(toast).to_contain_text("too soon after the last one")
        screenshot(page, artifacts / "refused.png")

    assert host.machine.orders() == ["LockSession"]


def test_rehearsal_is_not_taken_for_success(make_commanded: MakeCommanded) -> None:
    host = make_commanded(commands={"dry_run": True}).start().add_with_code()

    with pytest.raises(StackError, match="only simulated “Lock”"):
        host.press(LOCK)

    assert act(host, "pilot.send_command", command=LOCK)["response"]["office-pc"]["dry_run"]
    assert host.machine.orders() == []


def test_what_is_not_allowed_is_not_offered(make_commanded: MakeCommanded) -> None:
    host = make_commanded(commands={"deny": ["power.*"]}).start().add_with_code()

    offered = host.entity_ids()
    assert f"{host.id}_session_lock" in offered
    assert f"{host.id}_power" not in offered
    with pytest.raises(StackError, match="its own configuration does not allow"):
        act(host, "pilot.shutdown")
    assert host.machine.orders() == []


def test_unknown_command_and_bad_argument(commanded: Commanded) -> None:
    with pytest.raises(StackError, match=r"does not know the command “power\.explode”"):
        act(commanded, "pilot.send_command", command="power.explode")
    with pytest.raises(StackError, match="argument is not right: there is no argument force"):
        act(commanded, "pilot.send_command", command=LOCK, args={"force": True})

    assert commanded.machine.orders() == []


def test_no_answer_is_an_error(commanded: Commanded) -> None:
    commanded.agent.process.suspend()
    began = time.monotonic()

    with pytest.raises(StackError, match="office-pc did not respond to “Lock”"):
        commanded.press(LOCK)

    assert time.monotonic() - began < 20
    commanded.agent.process.resume()
    # The machine wakes up, and a command whose caller has gone is still one.
    commanded.wait_for_status("online")


def test_host_that_is_off_is_an_error(commanded: Commanded) -> None:
    commanded.agent.stop()
    commanded.wait_for_status("off")

    with pytest.raises(StackError, match="office-pc did not respond to “Lock”: it is off"):
        act(commanded, "pilot.send_command", command=LOCK)


def test_agent_that_just_started_obeys_at_once(commanded: Commanded, listener: Attacker) -> None:
    """Home Assistant learns the new session from the first refusal, and tries again."""
    begin = time.monotonic()
    commanded.agent.restart()
    listener.wait_for(commanded.topic("announce"), since=begin)

    assert commanded.obeys()


@pytest.mark.browser
def test_clocks_that_differ_are_a_repair_that_heals(
    make_commanded: MakeCommanded, tmp_path: Path, open_page: OpenPage, artifacts: Path
) -> None:
    """A refused command is not silent: it says by how much the clocks differ."""
    clock = ManualHostClock(tmp_path)
    host = make_commanded(env=clock.env).start().add_with_code()
    clock.set(ahead=2 * 3600 + 60)

    with pytest.raises(StackError, match="clock"):
        host.press(LOCK)

    def repair() -> dict[str, Any] | None:
        issues = host.ha.ws("repairs/list_issues")["issues"]
        return next((i for i in issues if i["translation_key"] == "clock_ahead"), None)

    told = wait_for(repair, "the repair")["translation_placeholders"]
    assert told["name"] == "office-pc"
    assert told["difference"].startswith("2 h")
    with open_page("/config/repairs", height=1100) as page:
        page.get_by_text("office-pc").first.click()
        page.get_by_text("2 h").first.wait_for()
        screenshot(page, artifacts / "repair-clock.png")

    clock.set(ahead=0)

    # By the next reading, without a button being pressed.
    wait_for(lambda: repair() is None, "the end of the repair")
    assert host.obeys()


@pytest.mark.slow
def test_home_assistant_commands_at_once_after_a_power_cut(
    commanded: Commanded, ha: HomeAssistant
) -> None:
    """Its counter goes on above the last one, though it could not write that down."""
    registry = ha.folder / ".storage" / "core.entity_registry"
    entity = f"{commanded.id}_session_lock"
    wait_for(lambda: registry.exists() and entity in registry.read_text(), "what is kept on disk")
    commanded.press(LOCK)

    ha.kill()
    ha.start()

    commanded.wait_for_status("online")
    assert commanded.obeys()
