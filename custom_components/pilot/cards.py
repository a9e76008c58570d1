"""The cards for dashboards: plain modules that the browser gets from Home Assistant."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from homeassistant.components.frontend import DOMAIN as FRONTEND_DOMAIN, add_extra_js_url
from homeassistant.components.http.server import StaticPathConfig

from .const import DOMAIN

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant

FOLDER: Final = Path(__file__).parent / "frontend"


async def async_setup_cards(hass: HomeAssistant) -> None:
    """Let the front end load the cards, where there is a front end."""
    if FRONTEND_DOMAIN not in hass.config.components:
        return
    # The modules import each other, so that the folder has the version in its name: browsers
    # keep what they got for a month, and none may mix modules of two versions.
    url = f"/{DOMAIN}/frontend/{await hass.async_add_executor_job(_version)}"
    await hass.http.async_register_static_paths(
        [StaticPathConfig(url, str(FOLDER), cache_headers=True)]
    )
    add_extra_js_url(hass, f"{url}/card.js")


def _version() -> str:
    """Return what changes whenever a module does, also between two releases."""
    content = sha256()
    for path in sorted(FOLDER.glob("*.js")):
        content.update(path.read_bytes())
    return content.hexdigest()[:12]
