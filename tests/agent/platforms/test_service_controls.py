"""Controls of Windows' service manager, on their way to who follows them."""

from __future__ import annotations

import threading

from companion_agent.platforms.windows.service_controls import (
    POWER_EVENT,
    ServiceControl,
    ServiceControls,
)
from support.event_loop import PATIENCE

SUSPEND = ServiceControl(POWER_EVENT, 4)


def test_without_a_follower_nothing_waits() -> None:
    controls = ServiceControls()
    controls.put(SUSPEND, hold=True)

    assert controls.wait(0)
    assert controls.take() == []


def test_windows_is_held_until_it_is_let_go() -> None:
    controls, woken = ServiceControls(), threading.Event()
    controls.subscribe(woken.set)
    controls.put(SUSPEND, hold=True)

    assert woken.is_set()
    assert not controls.wait(0)
    assert controls.take() == [SUSPEND]
    threading.Thread(target=controls.let_go).start()
    assert controls.wait(PATIENCE)


def test_a_follower_that_ends_holds_nothing_up() -> None:
    controls = ServiceControls()
    controls.subscribe(lambda: None)
    controls.put(SUSPEND, hold=True)

    controls.unsubscribe()

    assert controls.wait(0)
    assert controls.take() == []
