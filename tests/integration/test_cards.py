"""The cards, as Home Assistant gives them to browsers."""

import re
from typing import TYPE_CHECKING

from homeassistant.components.frontend import DATA_EXTRA_MODULE_URL, UrlManager
from homeassistant.setup import async_setup_component
import pytest

from custom_components.pilot import cards
from support.integration_host import make_entry

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

pytestmark = pytest.mark.usefixtures("enable_custom_integrations", "mqtt_mock")


async def test_browsers_load_the_cards(
    hass: HomeAssistant, hass_client: ClientSessionGenerator
) -> None:
    """All modules from one folder, which has another name as soon as one of them differs."""
    loaded = hass.data[DATA_EXTRA_MODULE_URL] = UrlManager(lambda *_: None, [])
    hass.config.components.add("frontend")
    await hass.config_entries.async_setup(make_entry(hass).entry_id)
    client = await hass_client()

    (url,) = loaded.urls
    folder, name = url.rsplit("/", 1)
    waiting, seen = [name], set()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        answer = await client.get(f"{folder}/{module}")
        assert answer.status == 200, module
        assert answer.content_type == "text/javascript"
        assert "max-age" in answer.headers["Cache-Control"]
        imported = re.findall(r'^import .* from "\./(.+)";$', await answer.text(), re.MULTILINE)
        waiting += set(imported) - seen
    assert seen == {path.name for path in cards.FOLDER.glob("*.js")}


async def test_without_a_front_end(hass: HomeAssistant) -> None:
    """There is no user who could look at a card."""
    assert await async_setup_component(hass, "pilot", {})
    await hass.async_block_till_done()

    assert DATA_EXTRA_MODULE_URL not in hass.data
