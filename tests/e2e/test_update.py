"""The agent is updated from the browser, and goes back by itself when that does not work."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from harness.settings import QUICK
import pytest
from security.victim import Code

from companion_agent import __version__
from stack import releases as broken
from stack.browser import screenshot
from stack.homeassistant import HomeAssistant
from stack.paths import ROOT
from stack.releases import Maker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import MakeHost
    from harness.host import Host
    from harness.logs import Logs

    from stack.broker import Mosquitto
    from stack.browser import Browser

pytestmark = [pytest.mark.browser, pytest.mark.proves("agent.update")]

NEWER = "99.0.0"
KEY = "agent"
# As a service manager does: whatever fails is started again.
KEPT = ("sh", "-c", 'until "$@"; do sleep 0.3; done', "keeper")


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Return a controller that the hosts trust."""
    return Maker(tmp_path_factory.mktemp("share"))


@pytest.fixture(scope="module")
def ha(
    tmp_path_factory: pytest.TempPathFactory, broker: Mosquitto, logs: Logs, maker: Maker
) -> Iterator[HomeAssistant]:
    """Return a Home Assistant whose integration brings a release of the agent."""
    integration = tmp_path_factory.mktemp("integration") / "pilot"
    ignored = shutil.ignore_patterns("__pycache__", "agent")
    shutil.copytree(ROOT / "custom_components" / "pilot", integration, ignore=ignored)
    (integration / "agent").mkdir()
    wheel = maker.make(NEWER, notes="## News\n\nIt is *better* than before.")
    for path in (wheel, wheel.with_name(f"{wheel.name}.json")):
        shutil.copy(path, integration / "agent")
    folder = tmp_path_factory.mktemp("homeassistant")
    with HomeAssistant(folder, integrations=[integration]) as ha:
        logs.watch(ha.process)
        ha.add_mqtt(broker)
        ha.ws("config/core/update", internal_url=ha.url)
        yield ha


def add(make_host: MakeHost, maker: Maker, name: str, source: str) -> Host:
    """Add a host that trusts the maker, with the code that it shows."""
    update = {"source": source, "keys": [maker.key], "trial": 30}
    host = make_host(name, collectors=QUICK, update=update, prefix=KEPT).start()
    code = Code.on(host.agent)
    result = host.ha.confirm(host.wait_until_offered()["flow_id"], {"code": code.digits})
    assert result["type"] == "create_entry", f"adding it came to {result}"
    code.end()
    host.wait_for_status("online")
    host.wait_for_entity(KEY)
    return host


def is_offered(state: dict[str, Any], version: str) -> bool:
    """Tell whether a version can be installed."""
    attributes = state["attributes"]
    return attributes["latest_version"] == version and attributes["supported_features"] & 1


def test_install_from_home_assistant(
    make_host: MakeHost, maker: Maker, browser: Browser, artifacts: Path
) -> None:
    host = add(make_host, maker, "office-pc", "homeassistant")
    entity_id = host.entity(KEY)["entity_id"]
    state = host.wait_for_state(KEY, lambda state: is_offered(state, NEWER))
    assert (state["state"], state["attributes"]["installed_version"]) == ("on", __version__)
    page_path = f"/config/devices/device/{host.device['id']}?more-info-entity-id={entity_id}"

    with browser.page(host.ha, page_path, height=1000) as page:
        dialog = page.locator("ha-more-info-dialog")
        dialog.get_by_text("better").wait_for()
        screenshot(page, artifacts / "update-offered.png")

        with host.ha.websocket() as websocket:
            events = websocket.subscribe("subscribe_entities", entity_ids=[entity_id])
            dialog.get_by_role("button", name="Update", exact=True).click()
            host.wait_for_state(
                KEY,
                lambda state: (
                    state["attributes"].get("installed_version") == NEWER
                    and not state["attributes"]["in_progress"]
                ),
                timeout=60,
            )
            seen = str(websocket.events(events))
        dialog.get_by_text("Up-to-date").wait_for()
        screenshot(page, artifacts / "update-installed.png")

    assert "'in_progress': True" in seen
    assert host.device["sw_version"] == f"pilot-agent {NEWER}"
    assert host.state(KEY)["state"] == "off"


def test_a_version_that_does_not_work(
    make_host: MakeHost, maker: Maker, browser: Browser, artifacts: Path
) -> None:
    maker.make("99.1.0", broken.CRASHES)
    host = add(make_host, maker, "workshop-pc", str(maker.folder))
    host.agent.run("update", "--check")
    host.wait_for_state(KEY, lambda state: is_offered(state, "99.1.0"))
    entity_id = host.entity(KEY)["entity_id"]
    page_path = f"/config/devices/device/{host.device['id']}?more-info-entity-id={entity_id}"

    with browser.page(host.ha, page_path, height=1000) as page:
        dialog = page.locator("ha-more-info-dialog")
        dialog.get_by_role("button", name="Update", exact=True).click()
        dialog.get_by_text("it ended 2 times before it was online").wait_for(timeout=60_000)
        screenshot(page, artifacts / "update-failed.png")

    assert host.state(KEY)["attributes"]["installed_version"] == __version__
    with browser.page(host.ha, "/config/repairs") as page:
        page.get_by_text("Update failed on workshop-pc").first.click()
        page.get_by_text("99.1.0").first.wait_for()
        screenshot(page, artifacts / "update-repair.png")
