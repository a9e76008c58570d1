"""The card that shows which sensor stood in which room, in a real browser."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
import re
from typing import TYPE_CHECKING, Any, Protocol

from harness.house import FakeHouse, hours_ago
from playwright.sync_api import expect
import pytest

from stack.browser import screenshot
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from harness.bus import Bus
    from playwright.sync_api import Locator, Page

    from stack.browser import Browser
    from stack.homeassistant import HomeAssistant

pytestmark = pytest.mark.browser

ROOMS = {
    "Attic": "mdi:home-roof",
    "Dining room": "mdi:silverware-fork-knife",
    "Nursery": "mdi:teddy-bear",
    "Study": "mdi:desk",
    "Winter garden": "mdi:flower",
}
SENSORS = ("AHT20", "BME280", "SCD41", "SHT31")
CARD = {"type": "custom:pilot-rooms-card", "grid_options": {"columns": "full"}}

MOVED = "AHT20: from Dining room to Attic"
"""The boundary that the tests correct."""


class OpenCard(Protocol):
    """Opens the dashboard that the card is on."""

    def __call__(self, *cards: dict[str, Any], **options: Any) -> AbstractContextManager[Page]:
        """Open it; when what follows fails, a picture of it is taken."""


@pytest.fixture(scope="module")
def furnished(ha: HomeAssistant, bus: Bus) -> Iterator[FakeHouse]:
    """Return a house with sensors."""
    with FakeHouse(ha, bus, ROOMS, SENSORS) as house:
        yield house


@pytest.fixture
def house(furnished: FakeHouse) -> FakeHouse:
    """Return a house whose sensors were carried about: the AHT20 three days ago, for example."""
    history = {
        "AHT20": [("Dining room", 160), ("Attic", 72), ("Dining room", 20)],
        "BME280": [("Study", 400), ("Nursery", 120), ("Study", 48)],
        "SCD41": [("Nursery", 300), ("Winter garden", 60)],
        "SHT31": [("Winter garden", 150), (None, 110), ("Dining room", 90)],
    }
    for name, stays in history.items():
        furnished.tell_history(name, [(room, hours_ago(hours)) for room, hours in stays])
    return furnished


@pytest.fixture
def open_card(
    browser: Browser, house: FakeHouse, artifacts: Path, request: pytest.FixtureRequest
) -> OpenCard:
    """Return a function that opens the dashboard that the card is on."""

    @contextmanager
    def open_card(*cards: dict[str, Any], **options: Any) -> Iterator[Page]:
        path = house.show(*(cards or (CARD,)))
        with browser.page(house.ha, path, **{"height": 700, **options}) as page:
            page.set_default_timeout(20_000)
            try:
                yield page
            except BaseException:
                screenshot(page, artifacts / f"failed-{request.node.name}.png")
                raise

    return open_card


@pytest.fixture(scope="module")
def guest(ha: HomeAssistant) -> dict[str, Any]:
    """Return the login of a user who is no administrator."""
    return ha.add_user("guest")


def boundary(page: Page, name: str = MOVED) -> Locator:
    """Return the slider that corrects a move."""
    return page.get_by_role("slider", name=name, exact=True)


def hold(page: Page, slider: Locator) -> tuple[float, float]:
    """Take hold of a boundary with the mouse; return where."""
    box = slider.locator(".grip").first.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    return x, y


def pixels_per_hour(page: Page) -> float:
    """Return how long an hour is in the week that is shown."""
    return page.locator("pilot-rooms-card .plot").evaluate("(plot) => plot.clientWidth") / (7 * 24)


# --- Looking ---------------------------------------------------------------------------------


def test_rooms_are_lanes_and_sensors_bars(open_card: OpenCard, artifacts: Path) -> None:
    with open_card() as page:
        expect(page.locator("pilot-rooms-card .lane")).to_have_text(list(ROOMS))
        bars = page.locator("pilot-rooms-card").get_by_role("listitem").get_by_role("button")
        expect(bars).to_have_count(10)
        expect(bars.filter(has_text="AHT20")).to_have_count(3)
        current = page.get_by_role("button", name=re.compile("^SCD41 in Winter garden, since "))
        expect(current).to_be_visible()
        expect(page.locator("pilot-rooms-card .ways path.direct")).to_have_count(5)
        expect(page.locator("pilot-rooms-card .ways path.detour")).to_have_count(1)
        screenshot(page, artifacts / "rooms-card.png")

        page.get_by_role("button", name="Month").click()
        page.get_by_role("button", name="Show as a table").click()
        expect(page.get_by_role("row")).to_have_count(1 + 10)
        expect(page.get_by_role("row").nth(1)).to_contain_text("Dining room")


def test_new_moves_are_seen_at_once(open_card: OpenCard, house: FakeHouse) -> None:
    with open_card() as page:
        expect(page.locator("pilot-rooms-card .bar")).to_have_count(10)

        house.carry("SCD41", "Attic")

        expect(
            page.get_by_role("button", name=re.compile("^SCD41 in Attic, since "))
        ).to_be_visible()


def test_narrow_dark_and_french(open_card: OpenCard, artifacts: Path) -> None:
    with open_card(width=400, height=800, dark=True, language="fr") as page:
        expect(page.get_by_text("Pièces au fil du temps")).to_be_visible()
        card, plot = (
            page.locator(f"pilot-rooms-card {part}").bounding_box() for part in ("ha-card", ".plot")
        )
        assert card
        assert plot
        # Rooms stand above their lanes, which leaves these the width.
        assert plot["width"] > 0.85 * card["width"]
        assert card["x"] + card["width"] <= 400
        page.get_by_role("button", name=re.compile("^SCD41 dans Winter garden, depuis")).click()
        expect(page.get_by_role("button", name="Enregistrer")).to_be_visible()
        screenshot(page, artifacts / "rooms-card-narrow.png")


def test_the_card_is_picked_and_set_up_by_clicks(
    open_card: OpenCard, house: FakeHouse, artifacts: Path
) -> None:
    with open_card({"type": "heading", "heading": "My rooms"}, height=900) as page:
        page.get_by_role("button", name="Edit dashboard").click()
        page.get_by_role("button", name="Add card").first.click()
        page.get_by_placeholder("Search entities").fill("AHT20 Room")
        page.get_by_text("Room", exact=True).last.click()
        suggested = page.locator("hui-dialog-create-card pilot-rooms-card .bar")
        expect(suggested).to_have_count(3)

        page.get_by_role("tab", name="By card").click()
        page.get_by_placeholder("Search cards").fill("rooms over")
        found = page.locator("hui-card-picker pilot-rooms-card")
        found.locator(".bar").first.wait_for()
        screenshot(page, artifacts / "rooms-card-picker.png")

        page.locator("hui-card-picker .card").filter(has=page.locator("pilot-rooms-card")).locator(
            ".overlay"
        ).click()
        editor = page.locator("hui-dialog-edit-card")
        editor.get_by_role("textbox", name="Title").fill("Carried about")
        expect(editor.get_by_text("Period shown first").first).to_be_visible()
        expect(editor.locator("pilot-rooms-card h2")).to_have_text("Carried about")
        screenshot(page, artifacts / "rooms-card-editor.png")
        editor.get_by_role("button", name="Save").click()

        wait_for(
            lambda: "Carried about" in str(house.ha.ws("lovelace/config", url_path="pilot-rooms")),
            "the card on the dashboard",
        )


# --- Correcting ------------------------------------------------------------------------------


def test_a_boundary_is_dragged(open_card: OpenCard, house: FakeHouse, artifacts: Path) -> None:
    told = hours_ago(72)
    with open_card() as page:
        x, y = hold(page, boundary(page))
        page.mouse.move(x - 12 * pixels_per_hour(page), y, steps=4)
        screenshot(page, artifacts / "rooms-card-drag.png")
        assert house.starts("AHT20")[1] == ("Attic", told)
        page.mouse.up()

        expect(page.get_by_role("status")).to_contain_text("Moved.")
        (_, start), *_ = house.starts("AHT20")[1:]
        assert abs(start - told + timedelta(hours=12)) <= timedelta(hours=1)
        assert start.minute == 0
        assert house.placements("AHT20")[0]["end"] == house.placements("AHT20")[1]["start"]

        page.get_by_role("button", name="Undo").click()
        house.wait_for_start("AHT20", 1, told)


def test_escape_leaves_a_dragged_boundary_as_it_was(open_card: OpenCard, house: FakeHouse) -> None:
    with open_card() as page:
        shown = boundary(page).get_attribute("aria-valuetext")
        x, y = hold(page, boundary(page))
        page.mouse.move(x - 40, y, steps=4)
        expect(boundary(page)).not_to_have_attribute("aria-valuetext", str(shown))

        page.keyboard.press("Escape")

        expect(boundary(page)).to_have_attribute("aria-valuetext", str(shown))
        page.mouse.up()
        assert house.starts("AHT20")[1] == ("Attic", hours_ago(72))


def test_a_boundary_is_dragged_with_a_finger(open_card: OpenCard, house: FakeHouse) -> None:
    with open_card(width=420, height=800, touch=True) as page:
        box = boundary(page).locator(".grip").first.bounding_box()
        assert box
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        hand = page.context.new_cdp_session(page)
        for kind, by in (("Start", 0), ("Move", 20), ("Move", 60), ("End", None)):
            points = [] if by is None else [{"x": x - by, "y": y}]
            hand.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

        expect(page.get_by_role("status")).to_contain_text("Moved.")
        assert house.starts("AHT20")[1][1] < hours_ago(72) - timedelta(hours=12)


def test_a_boundary_is_moved_without_a_mouse(
    open_card: OpenCard, house: FakeHouse, artifacts: Path
) -> None:
    with open_card() as page:
        page.get_by_role("button", name="Show as a table").focus()
        for _ in range(40):
            page.keyboard.press("Tab")
            if boundary(page).evaluate("(slider) => slider.matches(':focus')"):
                break
        for keys in ("PageDown", "Shift+ArrowRight", "ArrowLeft"):
            page.keyboard.press(keys)
        expect(page.get_by_role("status")).to_contain_text("Enter applies it")
        screenshot(page, artifacts / "rooms-card-keys.png")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("Moved.")
        moved = hours_ago(72 + 24 - 1) - timedelta(minutes=5)
        assert house.starts("AHT20")[1] == ("Attic", moved)

        # The focus stays, so that it goes on from there. To leave is not to confirm.
        for leave in ("Escape", "Tab"):
            page.keyboard.press("ArrowRight")
            expect(page.get_by_role("status")).to_contain_text("Enter applies it")
            page.keyboard.press(leave)
            expect(page.get_by_role("status").locator(".notice")).to_be_hidden()
        assert house.starts("AHT20")[1] == ("Attic", moved)


def test_what_cannot_be_is_said_and_undone(
    open_card: OpenCard, house: FakeHouse, artifacts: Path
) -> None:
    with open_card(language="fr") as page:
        slider = boundary(page, "AHT20 : de Dining room à Attic")
        shown = slider.get_attribute("aria-valuetext")
        x, y = hold(page, slider)
        page.mouse.move(x + 60 * pixels_per_hour(page), y, steps=4)
        expect(slider).to_have_attribute("aria-invalid", "true")
        page.mouse.up()

        expect(page.get_by_role("alert")).to_contain_text("AHT20")
        screenshot(page, artifacts / "rooms-card-error.png")
        expect(slider).to_have_attribute("aria-valuetext", str(shown))
        assert house.starts("AHT20")[1] == ("Attic", hours_ago(72))


def test_a_bar_opens_a_form(open_card: OpenCard, house: FakeHouse, artifacts: Path) -> None:
    with open_card(height=900) as page:
        attic = page.get_by_role("button", name=re.compile("^AHT20 in Attic, from "))
        attic.focus()
        page.keyboard.press("Enter")
        form = page.get_by_role("form", name="AHT20 in Attic")
        expect(form.get_by_role("combobox", name="Room", exact=True)).to_be_focused()
        screenshot(page, artifacts / "rooms-form.png")

        form.get_by_label("To", exact=True).fill(_field(datetime.now(UTC) - timedelta(hours=1000)))
        form.get_by_role("button", name="Save").click()
        expect(form.get_by_role("alert")).to_contain_text("AHT20")

        form.get_by_label("To", exact=True).fill(_field(hours_ago(30)))
        form.get_by_role("combobox", name="Room", exact=True).select_option(label="Study")
        form.get_by_role("button", name="Save").click()
        expect(form).to_be_hidden()
        bar = page.get_by_role("button", name=re.compile("^AHT20 in Study, from "))
        expect(bar).to_be_focused()
        assert house.starts("AHT20") == [
            ("Dining room", hours_ago(160)),
            ("Study", hours_ago(72)),
            ("Dining room", hours_ago(30)),
        ]


def test_a_placement_is_split_deleted_and_added(open_card: OpenCard, house: FakeHouse) -> None:
    with open_card(height=900) as page:
        page.get_by_role("button", name=re.compile("^AHT20 in Attic, from ")).click()
        form = page.get_by_role("form")
        form.get_by_text("It stood somewhere else").click()
        form.get_by_label("Split at").fill(_field(hours_ago(40)))
        form.get_by_label("Room after that").select_option(label="Nursery")
        form.get_by_role("button", name="Split").click()
        expect(form).to_be_hidden()
        assert house.starts("AHT20")[1:3] == [("Attic", hours_ago(72)), ("Nursery", hours_ago(40))]

        page.get_by_role("button", name=re.compile("^AHT20 in Nursery, from ")).click()
        form.get_by_role("button", name="Delete").click()
        form.get_by_role("button", name="Really delete?").click()
        expect(form).to_be_hidden()
        assert [room for room, _ in house.starts("AHT20")] == [
            "Dining room",
            "Attic",
            "Dining room",
        ]

        page.get_by_role("button", name="Add a placement").click()
        form.get_by_label("Sensor").select_option(house.device("AHT20"))
        form.get_by_label("Room").select_option(label="Study")
        form.get_by_label("From").fill(_field(hours_ago(40)))
        form.get_by_role("button", name="Add").click()
        expect(form).to_be_hidden()
        assert house.starts("AHT20")[2] == ("Study", hours_ago(40))


def test_who_is_no_administrator_only_looks(
    open_card: OpenCard, house: FakeHouse, guest: dict[str, Any], artifacts: Path
) -> None:
    with open_card(tokens=guest) as page:
        page.get_by_role("button", name=re.compile("^AHT20 in Attic, from ")).click()
        form = page.get_by_role("form", name="AHT20 in Attic")
        expect(form.get_by_role("button")).to_have_text(["Close"])
        expect(page.get_by_role("slider")).to_have_count(0)
        expect(page.get_by_role("button", name="Add a placement")).to_have_count(0)
        screenshot(page, artifacts / "rooms-card-guest.png")


# --- Statistics ------------------------------------------------------------------------------


def test_rooms_are_in_the_statistics_graph_and_its_picker(
    open_card: OpenCard, house: FakeHouse, artifacts: Path
) -> None:
    """The Attic is as warm as the AHT20 was while it stood there, and no hour more."""
    entity_id = house.host.entity("i2c.aht20.temperature")["entity_id"]
    rows = [
        {"start": hours_ago(hours).isoformat(), **dict.fromkeys(("mean", "min", "max"), value)}
        for hours in range(168, 0, -1)
        for value in [19 + hours % 24 / 12 + (8 if 20 < hours <= 72 else 0)]
    ]
    house.ha.ws(
        "recorder/import_statistics",
        metadata={
            "has_sum": False,
            "mean_type": 1,
            "name": None,
            "source": "recorder",
            "statistic_id": entity_id,
            "unit_class": "temperature",
            "unit_of_measurement": "°C",
        },
        stats=rows,
    )
    rooms = {"Dining room": "pilot:dining_room_temperature", "Attic": "pilot:attic_temperature"}
    # A correction has everything from there on computed anew.
    house.tell_history(
        "AHT20",
        [("Dining room", hours_ago(160)), ("Attic", hours_ago(72)), ("Dining room", hours_ago(20))],
    )
    wait_for(
        lambda: [len(_hours(house.ha, rooms[name])) for name in rooms] == [108, 52],
        "the statistics of the rooms",
    )
    graph = {
        "type": "statistics-graph",
        "title": "Each room's own history",
        "entities": list(rooms.values()),
        "period": "hour",
        "days_to_show": 7,
        "stat_types": ["mean"],
        "chart_type": "line",
        "grid_options": {"columns": "full", "rows": 6},
    }
    with open_card(graph, height=600) as page:
        for name in rooms:
            page.get_by_text(f"{name} Temperature").first.wait_for()
        page.locator("hui-statistics-graph-card canvas").first.wait_for()
        screenshot(page, artifacts / "rooms-statistics.png")

    with open_card({**graph, "entities": [rooms["Dining room"]]}, height=800) as page:
        page.get_by_role("button", name="Edit dashboard").click()
        page.locator("hui-card-edit-mode").first.click()
        picker = page.locator("hui-dialog-edit-card ha-statistic-picker").last
        picker.click()
        picker.get_by_placeholder("Search").fill("attic")
        offered = picker.get_by_text("Attic Temperature")
        offered.wait_for()
        screenshot(page, artifacts / "rooms-statistics-picker.png")
        offered.click()
        page.locator("hui-dialog-edit-card").get_by_text("Attic Temperature").first.wait_for()
        legend = page.locator("hui-dialog-edit-card hui-statistics-graph-card")
        legend.get_by_text("Attic Temperature").wait_for()


def _hours(ha: HomeAssistant, statistic_id: str) -> list[Any]:
    found = ha.ws(
        "recorder/statistics_during_period",
        start_time=hours_ago(400).isoformat(),
        statistic_ids=[statistic_id],
        period="hour",
        types=["mean"],
    )
    return [row for row in found.get(statistic_id, []) if row.get("mean") is not None]


def _field(moment: datetime) -> str:
    """Return what a field for a moment holds, in the browser's time zone."""
    return moment.astimezone().strftime("%Y-%m-%dT%H:%M")
