"""The login that computers need, in the options of Home Assistant's own broker app.

The app needs the Supervisor, which is not there: its options are drawn with Home Assistant's own
form, from their schema (home-assistant/addons, mosquitto/config.yaml), as the page of an app does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect
import pytest

from stack.browser import screenshot

if TYPE_CHECKING:
    from pathlib import Path

    from stack.browser import Browser
    from stack.homeassistant import HomeAssistant

pytestmark = pytest.mark.browser

_DRAW_OPTIONS = """
() => {
  const home = document.querySelector("home-assistant");
  const text = (type = "text") => ({ text: { type } });
  const schema = [
    { name: "logins", required: true, selector: { object: { multiple: true, fields: {
      username: { required: true, selector: text() },
      password: { required: true, selector: text("password") },
    } } } },
    { name: "require_certificate", required: true, selector: { boolean: {} } },
    { name: "certfile", required: true, selector: text() },
    { name: "keyfile", required: true, selector: text() },
  ];
  const labels = {
    logins: "Logins", require_certificate: "Require Client Certificate",
    certfile: "Certificate File", keyfile: "Private Key File",
  };
  const form = document.createElement("ha-form");
  form.style.cssText = "display: block; padding: 0 16px 16px";
  Object.assign(form, {
    hass: home.hass, schema, computeLabel: (entry) => labels[entry.name] ?? entry.name,
    data: {
      logins: [], require_certificate: false, certfile: "fullchain.pem", keyfile: "privkey.pem",
    },
  });
  form.addEventListener("value-changed", (event) => { form.data = event.detail.value; });
  const card = document.createElement("ha-card");
  card.header = "Options";
  card.append(form);
  const page = document.createElement("div");
  page.id = "app";
  page.style.cssText =
    "position: fixed; inset: 0; padding: 24px; background: var(--primary-background-color)";
  page.append(card);
  home.shadowRoot.append(page);
}
"""


def test_the_login_of_computers_in_the_options_of_the_broker_app(
    ha: HomeAssistant, browser: Browser, artifacts: Path
) -> None:
    with browser.page(ha, "/config/tools/action", width=1200, height=640) as page:
        page.locator("ha-service-picker").first.wait_for()
        page.evaluate(_DRAW_OPTIONS)
        app = page.locator("#app")

        app.get_by_role("button", name="Add", exact=True).click()
        dialog = page.locator("dialog-form")
        dialog.locator("input").nth(0).fill("computers")
        dialog.locator("input").nth(1).fill("a password of yours")
        screenshot(page, artifacts / "broker-login.png")
        dialog.get_by_role("button", name="Add", exact=True).click()

        expect(app.get_by_text("computers").first).to_be_visible()
        screenshot(page, artifacts / "broker-logins.png")
