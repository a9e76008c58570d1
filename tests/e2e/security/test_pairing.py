"""Pairing as people do it: a code on the host, typed into Home Assistant in a browser."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from playwright.sync_api import expect
import pytest
from security.commanded import LOCK
from security.victim import Code

from stack.browser import screenshot
from stack.console import StackError
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Locator, Page
    from security.commanded import Commanded
    from security.conftest import MakeCommanded, OpenPage

    from stack.homeassistant import HomeAssistant

pytestmark = pytest.mark.browser

INTEGRATIONS = "/config/integrations/dashboard"


def open_card(page: Page, name: str) -> Locator:
    """Press *Add* on a discovered card, and return the dialog that opens."""
    card = page.locator("ha-config-flow-card", has_text=name)
    card.get_by_role("button", name="Add").click()
    dialog = page.locator("dialog-data-entry-flow")
    dialog.get_by_text("This computer announced itself").wait_for()
    return dialog


def type_code(dialog: Locator, code: str) -> None:
    """Type a code into the dialog, and submit."""
    dialog.locator("input").fill(code)
    dialog.get_by_role("button", name="Submit").click()


def test_code_is_typed_into_the_card(
    make_commanded: MakeCommanded, open_page: OpenPage, artifacts: Path
) -> None:
    host = make_commanded().start()
    code = Code.on(host.agent)
    host.wait_until_offered()

    with open_page(INTEGRATIONS) as page:
        dialog = open_card(page, "office-pc")
        screenshot(page, artifacts / "pair-card.png")
        dialog.locator("input").fill(f"{code.digits[:4]} {code.digits[4:]}")
        screenshot(page, artifacts / "pair-code.png")
        dialog.get_by_role("button", name="Submit").click()
        dialog.get_by_role("button", name="Finish").wait_for()
        screenshot(page, artifacts / "paired.png")
        dialog.get_by_role("button", name="Finish").click()

    assert 'Paired with Home Assistant "' in code.end()
    host.wait_for_status("online")
    host.wait_for_entity("session_lock")
    assert host.obeys()
    assert "paired" in host.agent.run("pair", "list")


def test_device_page_of_a_paired_host(
    commanded: Commanded, open_page: OpenPage, artifacts: Path
) -> None:
    with open_page(f"/config/devices/device/{commanded.device['id']}", height=1600) as page:
        for name in ("Lock", "Cancel shutdown", "Suspend", "Restart", "Power"):
            page.get_by_text(name, exact=True).first.wait_for()
        screenshot(page, artifacts / "device-paired.png")


def test_host_without_pairing_shows_no_buttons(
    make_commanded: MakeCommanded, open_page: OpenPage, artifacts: Path
) -> None:
    """A host that only reports is a supported state, and may be paired later."""
    host = make_commanded().start()
    host.wait_until_offered()

    with open_page(INTEGRATIONS) as page:
        dialog = open_card(page, "office-pc")
        dialog.get_by_role("button", name="Submit").click()
        dialog.get_by_role("button", name="Finish").click()
        host.wait_for_status("online")

    host.wait_for_entity("cpu.percent")
    assert not [entity for entity in host.entity_ids().values() if entity.startswith("button.")]

    code = Code.on(host.agent)
    step = host.ha.post(
        "config/config_entries/flow",
        {"handler": "pilot", "entry_id": host.entry["entry_id"]},
    )
    step = host.ha.confirm(step["flow_id"], {"next_step_id": "pair"})
    done = host.ha.confirm(step["flow_id"], {"code": code.digits})
    assert done["reason"] == "reconfigure_successful"
    host.wait_for_entity("session_lock")
    assert host.obeys()


# -- what goes wrong is explained --------------------------------------------------------------


def test_wrong_code_and_then_the_right_one(
    make_commanded: MakeCommanded, open_page: OpenPage, artifacts: Path
) -> None:
    host = make_commanded().start()
    code = Code.on(host.agent)
    host.wait_until_offered()

    with open_page(INTEGRATIONS) as page:
        dialog = open_card(page, "office-pc")
        type_code(dialog, code.wrong())
        expect(dialog.locator("ha-alert")).to_contain_text("Tries left: 4")
        screenshot(page, artifacts / "pair-wrong-code.png")
        type_code(dialog, "1234")
        expect(dialog).to_contain_text("A code has eight digits")
        screenshot(page, artifacts / "pair-four-digits.png")
        type_code(dialog, code.digits)
        dialog.get_by_role("button", name="Finish").wait_for()

    host.wait_for_entity("session_lock")
    assert host.obeys()


def test_five_wrong_codes_burn_it(
    make_commanded: MakeCommanded, ha: HomeAssistant, open_page: OpenPage, artifacts: Path
) -> None:
    host = make_commanded().start()
    code = Code.on(host.agent)
    flow_id = host.wait_until_offered()["flow_id"]
    errors = [ha.confirm(flow_id, {"code": code.wrong(n)})["errors"]["base"] for n in range(1, 5)]
    assert errors == ["wrong_code"] * 4

    with open_page(INTEGRATIONS) as page:
        dialog = open_card(page, "office-pc")
        type_code(dialog, code.wrong(5))
        expect(dialog.locator("ha-alert")).to_contain_text("no longer valid")
        screenshot(page, artifacts / "pair-burned.png")
        type_code(dialog, code.digits)
        expect(dialog.locator("ha-alert")).to_contain_text("no longer valid")

    assert "Five wrong tries" in code.end()
    assert host.announce()["trust"]["controllers"] == []


def test_no_code_is_shown(
    make_commanded: MakeCommanded, open_page: OpenPage, artifacts: Path
) -> None:
    host = make_commanded().start()
    host.wait_until_offered()

    with open_page(INTEGRATIONS) as page:
        dialog = open_card(page, "office-pc")
        type_code(dialog, "12345678")
        expect(dialog.locator("ha-alert")).to_contain_text("shows no code at the moment")
        screenshot(page, artifacts / "pair-no-code.png")

    host.agent.process.wait_for_output("sudo pilot-agent pair")


def test_expired_code(make_commanded: MakeCommanded, open_page: OpenPage, artifacts: Path) -> None:
    host = make_commanded().start()
    code = Code.on(host.agent, lifetime=1)
    host.wait_until_offered()
    assert "The code has expired" in code.end()

    with open_page(INTEGRATIONS) as page:
        dialog = open_card(page, "office-pc")
        type_code(dialog, code.digits)
        expect(dialog.locator("ha-alert")).to_contain_text("This code has expired")
        screenshot(page, artifacts / "pair-expired.png")

        type_code(dialog, Code.on(host.agent).digits)
        dialog.get_by_role("button", name="Finish").wait_for()


def test_host_is_off(make_commanded: MakeCommanded, ha: HomeAssistant) -> None:
    host = make_commanded().start()
    flow_id = host.wait_until_offered()["flow_id"]
    host.agent.stop()

    step = ha.confirm(flow_id, {"code": "12345678"})

    assert step["errors"] == {"base": "host_off"}


# -- the end of trust --------------------------------------------------------------------------


def test_revoked_on_the_host(
    commanded: Commanded, ha: HomeAssistant, open_page: OpenPage, artifacts: Path
) -> None:
    """Home Assistant says why it asks to pair again, and does not command meanwhile."""
    [controller] = commanded.announce()["trust"]["controllers"]

    commanded.agent.run("pair", "revoke", controller)

    wait_for(lambda: list(commanded.reauthentications()), "the wish to pair again", timeout=30)
    with pytest.raises(StackError, match="pair"):
        commanded.press(LOCK)
    assert commanded.machine.orders() == []

    code = Code.on(commanded.agent)
    with open_page(INTEGRATIONS) as page:
        card = page.locator("ha-config-flow-card", has_text="office-pc")
        card.get_by_role("button", name="Reconfigure").click()
        dialog = page.locator("dialog-data-entry-flow")
        dialog.get_by_text("do not share a key any more").wait_for()
        screenshot(page, artifacts / "pair-again.png")
        type_code(dialog, code.digits)
        dialog.get_by_text("Re-authentication was successful").wait_for()
        screenshot(page, artifacts / "paired-again.png")

    commanded.wait_for_status("online")
    wait_for(lambda: not list(commanded.reauthentications()), "the end of the question")
    commanded.wait_for_entity("session_lock")
    assert commanded.obeys()


def test_removed_in_home_assistant(commanded: Commanded, ha: HomeAssistant) -> None:
    """The host forgets a Home Assistant that has removed it."""
    ha.remove_entry(commanded.entry["entry_id"])

    wait_for(lambda: commanded.announce()["trust"]["controllers"] == [], "the host's forgetting")
    assert "Not paired" in commanded.agent.run("pair", "list")


def test_reinstalled_host_is_paired_again(commanded: Commanded, ha: HomeAssistant) -> None:
    """It has the same id, derived from the machine's, and none of its keys."""
    entities = commanded.entity_ids()
    commanded.agent.stop()
    (commanded.agent.folder / "state" / "trust.json").unlink()
    (commanded.agent.folder / "state" / "starts").unlink()

    commanded.agent.start()

    [flow] = wait_for(lambda: list(commanded.reauthentications()), "the question", timeout=30)
    code = Code.on(commanded.agent)
    step = ha.confirm(flow["flow_id"], {"code": code.digits})
    assert step["reason"] == "reauth_successful"
    commanded.wait_for_status("online")
    commanded.wait_for_entity("session_lock")
    assert commanded.obeys()
    assert commanded.entity_ids() == entities


# -- several -----------------------------------------------------------------------------------


def fleet_key() -> str:
    """Return a key as `openssl rand -base64 32` makes it."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture
def configured(make_commanded: MakeCommanded, ha: HomeAssistant) -> Iterator[Commanded]:
    """Return a host that has no fleet key; leave Home Assistant without one."""
    host = make_commanded("first-pc").start()
    ha.confirm(host.wait_until_offered()["flow_id"])
    host.wait_for_status("online")
    yield host
    ha.configure(host.entry["entry_id"], "fleet_key", {"fleet_mode": "forget"})


def test_fleet_key_needs_no_code(
    make_commanded: MakeCommanded, configured: Commanded, ha: HomeAssistant
) -> None:
    """Hosts that prove it are added without a question; the key is nowhere to be read."""
    key = fleet_key()
    ha.configure(configured.entry["entry_id"], "fleet_key", {"fleet_key": key, "fleet_mode": "add"})

    host = make_commanded(security={"fleet_key": key}).start()

    host.wait_for_status("online")
    host.wait_for_entity("session_lock")
    assert host.obeys()
    told = str(ha.get(f"diagnostics/config_entry/{host.entry['entry_id']}"))
    assert key not in told
    assert key not in ha.log()
    assert key not in str(host.entry)


def test_fleet_hosts_wait_as_cards_if_the_user_prefers_that(
    make_commanded: MakeCommanded, configured: Commanded, open_page: OpenPage, artifacts: Path
) -> None:
    """The key and the choice are entered under Configure, and cards then ask for no code."""
    key = fleet_key()
    with open_page("/config/integrations/integration/pilot", height=1100) as page:
        row = page.locator("ha-config-entry-row", has_text="first-pc")
        row.get_by_role("button", name="Configure").click()
        dialog = page.locator("dialog-data-entry-flow")
        dialog.get_by_text("Fleet key", exact=True).click()
        dialog.locator("input[type=password]").fill("too short")
        dialog.get_by_text("Offer them, and let me confirm each").click()
        dialog.get_by_role("button", name="Submit").click()
        expect(dialog).to_contain_text("A fleet key is base64")
        dialog.locator("input[type=password]").fill(key)
        screenshot(page, artifacts / "fleet-key.png")
        dialog.get_by_role("button", name="Submit").click()
        dialog.get_by_text("Options successfully saved").wait_for()

    host = make_commanded(security={"fleet_key": key}).start()

    host.wait_until_offered()
    with open_page(INTEGRATIONS) as page:
        dialog = open_card(page, "office-pc")
        expect(dialog.locator("input")).to_have_count(0)
        screenshot(page, artifacts / "fleet-card.png")
        dialog.get_by_role("button", name="Submit").click()
        dialog.get_by_role("button", name="Finish").click()

    host.wait_for_status("online")
    host.wait_for_entity("session_lock")
    assert host.obeys()
