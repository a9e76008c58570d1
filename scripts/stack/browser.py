"""A browser that is logged in, and pictures of what it shows."""

from __future__ import annotations

from contextlib import contextmanager
import json
import os
from typing import TYPE_CHECKING, Any, Self

from playwright.sync_api import Browser as PlaywrightBrowser, Page, Playwright, sync_playwright

from . import system

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from .homeassistant import HomeAssistant

_ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # It looks for updates and for its maker's servers all the time otherwise.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A container's /dev/shm is often too small for it.
    "--disable-dev-shm-usage",
)


class Browser:
    """A headless Chromium from the system's packages, driven by Playwright.

    >>> with Browser() as browser, browser.page(ha, "/config/devices") as page:  # doctest: +SKIP
    ...     page.get_by_text("office-pc").click()

    """

    def __init__(self) -> None:
        self._executable = system.require("chromium")["chromium"]
        self._playwright: Playwright | None = None
        self._browser: PlaywrightBrowser | None = None

    def __enter__(self) -> Self:
        self._playwright = sync_playwright().start()
        # Chromium refuses to run its sandbox as root.
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        try:
            self._browser = self._playwright.chromium.launch(
                executable_path=self._executable, args=[*_ARGUMENTS, *sandbox]
            )
        except BaseException:
            self._playwright.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._browser is not None:
            self._browser.close()
        if self._playwright is not None:
            self._playwright.stop()

    @contextmanager
    def page(
        self,
        ha: HomeAssistant,
        path: str = "/",
        *,
        width: int = 1280,
        height: int = 900,
        language: str | None = None,
        dark: bool = False,
        touch: bool = False,
        tokens: Mapping[str, Any] | None = None,
    ) -> Iterator[Page]:
        """Open a page of the front end, and wait until it is drawn.

        Whoever ``tokens`` belong to sees it; without them it is the administrator.
        """
        assert self._browser is not None, "enter the browser first"
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            locale=language or ha.language,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            has_touch=touch,
        )
        context.set_default_timeout(60_000)
        stored = {
            "hassTokens": json.dumps(dict(tokens or ha.tokens)),
            "selectedLanguage": json.dumps(language or ha.language),
        }
        context.add_init_script(
            "if (location.protocol.startsWith('http')) "
            f"for (const [k, v] of Object.entries({json.dumps(stored)})) localStorage[k] = v;"
        )
        page = context.new_page()
        try:
            page.goto(ha.url + path, wait_until="domcontentloaded")
            wait_until_drawn(page)
            yield page
        finally:
            context.close()


def wait_until_drawn(page: Page, timeout: float = 90) -> None:
    """Wait until the front end has left its loading screens."""
    page.wait_for_function(
        """() => {
            const main = document.querySelector('home-assistant')?.shadowRoot
                ?.querySelector('home-assistant-main');
            if (!main || document.getElementById('ha-launch-screen')) return false;
            const loading = (root) => [...root.querySelectorAll('*')].some((node) =>
                ['HASS-LOADING-SCREEN', 'HA-SPINNER', 'HUI-CARD-LOADING'].includes(node.tagName)
                || (node.shadowRoot && loading(node.shadowRoot)));
            return !loading(main.shadowRoot);
        }""",
        timeout=timeout * 1000,
    )


def screenshot(page: Page, path: Path, *, full_page: bool = False) -> Path:
    """Take a picture of what the page shows, once it stands still."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Graphs are painted a frame or two after their data is there.
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    page.screenshot(path=str(path), full_page=full_page, animations="disabled")
    return path
