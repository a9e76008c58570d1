"""From a host with nothing on it to its values in Home Assistant, with what a newcomer types."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from conftest import forget
from harness.host import NO_VALUE, OF_THE_HOST, Shown
import pytest

from stack import toolchain
from stack.nspawn import SystemdHost, why_not
from stack.paths import ROOT
from stack.process import Process, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.bus import Bus

    from stack.broker import Mosquitto
    from stack.homeassistant import HomeAssistant

DIST = Path("/opt/pilot/dist")


@pytest.fixture
def blank(tmp_path: Path) -> Iterator[SystemdHost]:
    """Return a host with a package on it that is not installed yet."""
    if reason := why_not():
        pytest.skip(reason)
    dist = tmp_path / "dist"
    subprocess.run(
        [sys.executable, str(ROOT / "deploy/packages.py"), "--fast", "deb", "--output", str(dist)],
        env={**toolchain.clean_env(), "UV": toolchain.uv()},
        check=True,
        capture_output=True,
    )
    (package,) = dist.glob("*.deb")
    package.rename(dist / "pilot-agent.deb")
    with SystemdHost(tmp_path / "host", "new-pc", suite="trixie", binds={DIST: dist}) as host:
        yield host


def test_from_one_line_to_values(
    blank: SystemdHost,
    ha: HomeAssistant,
    bus: Bus,
    broker: Mosquitto,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    typed = []
    start = time.monotonic()

    # 1. One line on the host.
    typed.append(f"apt-get -qq -y install {DIST}/pilot-agent.deb")
    blank.run(*typed[-1].split())
    installed = time.monotonic()

    # 2. Setup; a broker that announces itself is found, and this one does not.
    typed.append(f"pilot-agent setup --broker {broker.host}:{broker.port} --yes --pair")
    setup = Process("setup", blank.command(*typed[-1].split()), tmp_path / "setup.log")
    with setup:
        code = setup.wait_for_output(r"\b(\d{4}) (\d{4})\b", timeout=60)
        ready = time.monotonic()

        # 3. The code in Home Assistant, on the card that has appeared.
        host = Shown(ha, bus, blank.run("pilot-agent", "id").stdout.strip())
        flow = host.wait_until_offered()
        typed.append("".join(code.groups()))
        result = ha.confirm(flow["flow_id"], {"code": typed[-1]})
        assert result["type"] == "create_entry"
        values = wait_for(lambda: shown(host), "values in Home Assistant", timeout=60)
    end = time.monotonic()

    with capsys.disabled():
        print(
            f"\nWhole start: {end - start:.0f} s from the first line to {values} values in Home "
            f"Assistant (package {installed - start:.0f} s, setup {ready - installed:.0f} s, "
            f"Home Assistant {end - ready:.0f} s); typed {len(typed)} things"
        )
    assert len(typed) == 3
    blank.run("systemctl", "stop", "pilot-agent")
    forget(host)


def shown(host: Shown) -> int:
    """Count the values of readings that Home Assistant shows; 0 until none is missing."""
    states = [
        state["state"]
        for key, state in host.states().items()
        if key not in {*OF_THE_HOST, "power.planned_shutdown"}
        and state["entity_id"].startswith(("sensor.", "binary_sensor."))
    ]
    return len(states) if len(states) > 10 and not NO_VALUE & set(states) else 0
