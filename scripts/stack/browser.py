"""A browser that is logged in, and pictures of what it shows."""

from __future__ import annotations

from contextlib import contextmanager
import json
import os
from typing import TYPE_CHECKING, Any, Self

from playwright.sync_api import (
    Browser as PlaywrightBrowser,
    BrowserContext,
    Page,
    Playwright,
    sync_playwright,
)

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


# A page begins with an empty storage, and keeps its own when it is loaded again.
_LOGIN = """
if (location.protocol.startsWith('http')) {
    if (!sessionStorage.pilotOpened) localStorage.clear();
    sessionStorage.pilotOpened = 'yes';
    for (const [key, value] of Object.entries(%s)) localStorage[key] = value;
}
"""


class Browser:
    """A headless Chromium from the system's packages, driven by Playwright.

    >>> with Browser() as browser, browser.page(ha, "/config/devices") as page:  # doctest: +SKIP
    ...     page.get_by_text("office-pc").click()

    """

    def __init__(self) -> None:
        self._executable = system.require("chromium")["chromium"]
        self._playwright: Playwright | None = None
        self._browser: PlaywrightBrowser | None = None
        self._contexts: dict[tuple[str, bool, bool], BrowserContext] = {}

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

        It is shown to the user of ``tokens``; without them, to the administrator.
        """
        stored = {
            "hassTokens": json.dumps(dict(tokens or ha.tokens)),
            "selectedLanguage": json.dumps(language or ha.language),
        }
        with self._context(
            language or ha.language, dark=dark, touch=touch, own=tokens is not None
        ) as context:
            page = context.new_page()
            page.set_viewport_size({"width": width, "height": height})
            page.add_init_script(_LOGIN % json.dumps(stored))
            try:
                page.goto(ha.url + path, wait_until="domcontentloaded")
                wait_until_drawn(page)
                yield page
            finally:
                page.close()

    @contextmanager
    def _context(
        self, language: str, *, dark: bool, touch: bool, own: bool
    ) -> Iterator[BrowserContext]:
        """Lend a profile, in which the front end's modules are cached and compiled already.

        Args:
            language: Of the profile, as are the two that follow.
            dark: Whether it asks for dark colours.
            touch: Whether it has a screen that can be touched.
            own: Make one that nothing else sees.

        """
        assert self._browser is not None, "enter the browser first"
        key = (language, dark, touch)
        context = None if own else self._contexts.pop(key, None)
        if context is None:
            context = self._browser.new_context(
                locale=language,
                color_scheme="dark" if dark else "light",
                reduced_motion="reduce",
                has_touch=touch,
            )
            context.set_default_timeout(60_000)
        try:
            yield context
        except BaseException:
            context.close()
            raise
        if own or key in self._contexts:
            context.close()
        else:
            self._contexts[key] = context


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
