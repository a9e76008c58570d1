"""What a user sees in the browser, from the discovery card to the device's page."""

from __future__ import annotations

from contextlib import contextmanager
import secrets
import time
from typing import TYPE_CHECKING, Protocol

from harness.host import FakeHost
from harness.settings import QUICK
from playwright.sync_api import expect
import pytest

from stack.browser import screenshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import MakeHost
    from harness.bus import Bus
    from harness.host import Host
    from playwright.sync_api import Page

    from stack.browser import Browser
    from stack.homeassistant import HomeAssistant

pytestmark = pytest.mark.browser


class OpenPage(Protocol):
    """Opens a page of the front end."""

    def __call__(
        self, path: str, *, height: int = ..., language: str | None = ...
    ) -> AbstractContextManager[Page]:
        """Open it; when what follows fails, a picture of it is taken."""


@pytest.fixture
def open_page(
    browser: Browser, ha: HomeAssistant, artifacts: Path, request: pytest.FixtureRequest
) -> OpenPage:
    """Return a function that opens a page of the front end."""

    @contextmanager
    def open_page(path: str, *, height: int = 900, language: str | None = None) -> Iterator[Page]:
        with browser.page(ha, path, height=height, language=language) as page:
            page.set_default_timeout(20_000)
            try:
                yield page
            except BaseException:
                screenshot(page, artifacts / f"failed-{request.node.name}.png")
                raise

    return open_page


@pytest.fixture
def office_pc(make_host: MakeHost) -> Host:
    """Return a host as people have it, without the cables of this test run."""
    network = {"interval": 1, "exclude": ["plt*"]}
    return make_host("office-pc", collectors={**QUICK, "network": network}).start()


def test_from_the_card_to_the_device(
    office_pc: Host, ha: HomeAssistant, open_page: OpenPage, artifacts: Path
) -> None:
    office_pc.wait_until_offered()

    with open_page("/config/integrations/dashboard") as page:
        card = page.locator("ha-config-flow-card", has_text="office-pc")
        card.wait_for()
        screenshot(page, artifacts / "discovery.png")

        card.get_by_role("button", name="Add").click()
        dialog = page.locator("dialog-data-entry-flow")
        dialog.get_by_role("button", name="Submit").wait_for()
        screenshot(page, artifacts / "confirm.png")

        dialog.get_by_role("button", name="Submit").click()
        dialog.get_by_role("button", name="Finish").wait_for()
        screenshot(page, artifacts / "added.png")
        dialog.get_by_role("button", name="Finish").click()

    office_pc.wait_for_status("online")
    assert office_pc.entry["title"] == "office-pc"


def test_device_page_follows_the_host(
    office_pc: Host, ha: HomeAssistant, open_page: OpenPage, artifacts: Path
) -> None:
    office_pc.add()
    device = f"/config/devices/device/{office_pc.device['id']}"

    with open_page(device, height=1230) as page:
        unavailable = page.locator("ha-device-entities-card").get_by_text("Unavailable")
        # The browser's own start keeps the processor busy; that is no sight for visitors.
        office_pc.wait_for_fresh_values(since=time.monotonic())
        page.get_by_text("System", exact=True).first.wait_for()
        screenshot(page, artifacts / "device.png")
        expect(unavailable).to_have_count(0)

        office_pc.agent.stop()

        unavailable.first.wait_for()
        page.get_by_text("Off", exact=True).first.wait_for()
        screenshot(page, artifacts / "device-off.png")


def test_removed_host_is_added_again_by_search_in_french(
    office_pc: Host, ha: HomeAssistant, open_page: OpenPage, artifacts: Path
) -> None:
    office_pc.add()
    ha.remove_entry(office_pc.entry["entry_id"])

    with open_page("/config/integrations/dashboard/add?domain=pilot", language="fr") as page:
        page.get_by_role("button", name="OK").click()
        page.get_by_text(office_pc.id).first.wait_for()
        screenshot(page, artifacts / "search-fr.png")

        page.get_by_role("button", name="Valider").click()
        page.get_by_text("pilot-agent pair").wait_for()
        page.get_by_role("button", name="Valider").click()
        page.get_by_role("button", name="Terminer").wait_for()

    office_pc.wait_for_status("online")


@pytest.fixture
def cloned(ha: HomeAssistant, bus: Bus) -> Iterator[FakeHost]:
    """Return a host that says that another one has its id."""
    host_id = secrets.token_hex(8)
    cloned = FakeHost(
        ha,
        bus,
        {
            "protocol": 2,
            "session": "5f1c0a9be3d24c77",
            "host": {"id": host_id, "name": "office-pc", "model": "ThinkPad X1"},
            "agent": {"version": "0.1.0"},
            "collectors": {"cpu": {"interval": 60}},
            "readings": [{"key": "cpu.percent"}],
            "conflict": {"session": "0123456789abcdef", "name": "office-pc-copy"},
        },
    )
    cloned.say_everything({"cpu": {"percent": 5}})
    yield cloned.add()
    bus.forget_host(host_id)
    cloned.remove()


def test_repair_says_what_to_do_with_a_clone(
    cloned: FakeHost, ha: HomeAssistant, open_page: OpenPage, artifacts: Path
) -> None:
    cloned.wait_for_entity("cpu.percent")

    with open_page("/config/repairs") as page:
        page.get_by_text("office-pc").first.click()
        page.get_by_text("pilot-agent id --new").first.wait_for()
        screenshot(page, artifacts / "repair.png")

        assert page.get_by_text("office-pc-copy").count()
