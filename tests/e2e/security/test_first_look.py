"""What a newcomer sees of a computer: its area, its page, and the way to pair it."""

from __future__ import annotations

from contextlib import contextmanager
import json
import re
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect
import pytest
import yaml

from stack.browser import screenshot
from stack.paths import ROOT
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page
    from security.commanded import Commanded
    from security.conftest import MakeCommanded

    from stack.browser import Browser
    from stack.homeassistant import HomeAssistant

pytestmark = pytest.mark.browser

LANGUAGES = ("en", "fr")
PHONE = 412
"""The width of a common phone, in CSS pixels."""


class Rooms:
    """The pages on which Home Assistant shows an area by itself, and pictures of them."""

    def __init__(self, browser: Browser, ha: HomeAssistant, artifacts: Path) -> None:
        self._browser = browser
        self._ha = ha
        self._artifacts = artifacts
        self._area: dict[str, Any] = ha.ws("config/area_registry/create", name="Office")

    def put(self, host: Commanded) -> None:
        """Put a computer into the area."""
        self._ha.ws(
            "config/device_registry/update",
            device_id=host.device["id"],
            area_id=self._area["area_id"],
        )

    @contextmanager
    def page(self, language: str) -> Iterator[Page]:
        """Open the page of the area."""
        path = f"/home/areas-{self._area['area_id']}"
        with self._browser.page(self._ha, path, language=language) as page:
            page.locator("hui-tile-card").first.wait_for()
            yield page

    def photograph(self, name: str, host: Commanded) -> None:
        """Take pictures in both languages, which are those of the house then, and on a phone."""
        status, _ = host.status
        for language in reversed(LANGUAGES):
            _speak(self._ha, language, host, status)
            with self.page(language) as page:
                screenshot(page, self._artifacts / f"{name}-{language}.png")
                # Loading the page anew takes as long as all that was shown before.
                page.set_viewport_size({"width": PHONE, "height": 900})
                page.locator("hui-tile-card").first.wait_for()
                screenshot(page, self._artifacts / f"{name}-{language}-phone.png")

    def remove(self) -> None:
        """Leave nothing behind."""
        self._ha.ws("config/area_registry/delete", area_id=self._area["area_id"])


def _speak(ha: HomeAssistant, language: str, host: Commanded, status: str) -> None:
    """Set the language of the house, which the names of entities have too."""
    ha.ws("config/core/update", language=language)
    ha.reload_entry(host.entry["entry_id"])
    host.wait_for_status(status)


def _texts(language: str) -> dict[str, str]:
    """Return what the repair of an unpaired computer lets users choose from."""
    path = ROOT / "custom_components" / "pilot" / "translations" / f"{language}.json"
    texts = json.loads(path.read_text(encoding="utf-8"))
    options: dict[str, str] = texts["issues"]["unpaired"]["fix_flow"]["step"]["init"][
        "menu_options"
    ]
    return options


@pytest.fixture
def rooms(browser: Browser, ha: HomeAssistant, artifacts: Path) -> Iterator[Rooms]:
    """Return the page of an area."""
    rooms = Rooms(browser, ha, artifacts)
    yield rooms
    rooms.remove()


def test_area_shows_six_tiles_at_most(commanded: Commanded, rooms: Rooms) -> None:
    commanded.wait_for_entity("cpu.percent")
    rooms.put(commanded)

    with rooms.page("en") as page:
        tiles = page.locator("hui-tile-card")

        expect(tiles.get_by_text("Status", exact=True)).to_have_count(1)
        assert 4 <= tiles.count() <= 6, [tile.inner_text() for tile in tiles.all()]
    rooms.photograph("area-on", commanded)


def test_problems_are_under_maintenance_and_not_in_areas(
    commanded: Commanded, rooms: Rooms, browser: Browser, ha: HomeAssistant, artifacts: Path
) -> None:
    commanded.wait_for_entity("problem")
    rooms.put(commanded)

    with browser.page(ha, "/maintenance") as page:
        page.get_by_text("Problem").first.wait_for()
        screenshot(page, artifacts / "maintenance.png")
    with rooms.page("en") as page:
        expect(page.get_by_text("Problem")).to_have_count(0)


def test_area_says_that_a_computer_is_off(
    commanded: Commanded, rooms: Rooms, browser: Browser, ha: HomeAssistant, artifacts: Path
) -> None:
    rooms.put(commanded)
    commanded.agent.stop()
    commanded.wait_for_status("off")

    with rooms.page("en") as page:
        expect(page.locator("hui-tile-card", has_text="Status").get_by_text("Off")).to_be_visible()
    rooms.photograph("area-off", commanded)
    with browser.page(ha, f"/config/devices/device/{commanded.device['id']}", height=1700) as page:
        page.get_by_text("Suspend", exact=True).first.wait_for()
        screenshot(page, artifacts / "device-paired-off.png")


def test_repair_of_an_unpaired_computer_leads_to_the_code(
    make_commanded: MakeCommanded,
    rooms: Rooms,
    browser: Browser,
    ha: HomeAssistant,
    artifacts: Path,
) -> None:
    host = make_commanded().start()
    host.add()
    host.wait_for_entity("cpu.percent")
    rooms.put(host)
    rooms.photograph("area-unpaired", host)

    for language in LANGUAGES:
        with browser.page(ha, "/config/repairs", language=language) as page:
            page.get_by_text("office-pc").first.click()
            choice = page.get_by_text(_texts(language)["confirm"])
            choice.wait_for()
            page.get_by_text("terminal").wait_for()
            screenshot(page, artifacts / f"unpaired-{language}.png")

            choice.click()
            page.locator("dialog-data-entry-flow input").first.wait_for()
            expect(page.get_by_text("pilot-agent pair").first).to_be_visible()
            screenshot(page, artifacts / f"unpaired-code-{language}.png")


@pytest.fixture(params=LANGUAGES)
def language(
    request: pytest.FixtureRequest, ha: HomeAssistant, commanded: Commanded
) -> Iterator[str]:
    """Return the language that the house has for the length of the test."""
    _speak(ha, request.param, commanded, "online")
    yield request.param
    ha.ws("config/core/update", language=LANGUAGES[0])


def test_dialogs_say_everything_in_words(
    commanded: Commanded, browser: Browser, ha: HomeAssistant, artifacts: Path, language: str
) -> None:
    with browser.page(
        ha, "/config/integrations/integration/pilot", language=language, height=1000
    ) as page:
        page.locator("ha-config-entry-row").get_by_role("button", name="Menu").first.click()
        page.get_by_text("Reconfigure" if language == "en" else "Reconfigurer").first.click()
        page.locator("dialog-data-entry-flow").get_by_text("office-pc").first.wait_for()
        screenshot(page, artifacts / f"reconfigure-{language}.png")
        page.set_viewport_size({"width": PHONE, "height": 900})
        screenshot(page, artifacts / f"reconfigure-{language}-phone.png")
        assert page.get_by_text("formatjs").count() == 0

    for width, suffix in ((1280, ""), (PHONE, "-phone")):
        with browser.page(
            ha,
            f"/config/devices/device/{commanded.device['id']}",
            language=language,
            width=width,
            height=1700,
            touch=width == PHONE,
        ) as page:
            page.locator("ha-device-entities-card state-badge svg").first.wait_for()
            screenshot(page, artifacts / f"device-{language}{suffix}.png")


@pytest.mark.parametrize(
    ("language", "add", "word", "found"),
    [
        ("en", "Add trigger", "computer", "Computer came online"),
        ("fr", "Ajouter un déclencheur", "ordinateur", "L’ordinateur est de nouveau en ligne"),  # noqa: RUF001
    ],
)
def test_triggers_are_found_by_what_users_call_a_computer(
    commanded: Commanded,
    browser: Browser,
    ha: HomeAssistant,
    artifacts: Path,
    language: str,
    add: str,
    word: str,
    found: str,
) -> None:
    with browser.page(ha, "/config/automation/edit/new", language=language) as page:
        page.get_by_role("button", name=add).first.click()
        search = page.locator("add-automation-element-dialog input").first
        search.fill(word)

        page.get_by_text(found).first.wait_for()
        screenshot(page, artifacts / f"triggers-{language}.png")
        page.set_viewport_size({"width": PHONE, "height": 900})
        screenshot(page, artifacts / f"triggers-{language}-phone.png")


@pytest.fixture
def dashboard(ha: HomeAssistant) -> Iterator[str]:
    """Return the path of a dashboard that is gone after the test."""
    path = "first-look"
    made = ha.ws("lovelace/dashboards/create", url_path=path, title="First look", mode="storage")
    yield path
    ha.ws("lovelace/dashboards/delete", dashboard_id=made["id"])


def test_the_documented_tile_asks_before_it_switches_off(
    commanded: Commanded, browser: Browser, ha: HomeAssistant, artifacts: Path, dashboard: str
) -> None:
    documented = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    [text] = [
        block
        for block in re.findall(r"```yaml\n(.*?)```", documented, re.DOTALL)
        if "tile" in block
    ]
    entity_id = commanded.wait_for_entity("power")["entity_id"]
    tile = {**yaml.safe_load(text), "entity": entity_id}
    ha.ws("lovelace/config/save", url_path=dashboard, config={"views": [{"cards": [tile]}]})

    with browser.page(ha, f"/{dashboard}/0", width=PHONE) as page:
        page.locator("hui-tile-card ha-tile-icon").click()
        question = page.get_by_text(tile["icon_tap_action"]["confirmation"]["text"])
        question.wait_for()
        screenshot(page, artifacts / "tile-asks.png")
        assert commanded.machine.orders() == []

        page.locator("dialog-box").get_by_role("button", name="OK").click()
        assert wait_for(commanded.machine.orders, "the order") == ["PowerOff"]
