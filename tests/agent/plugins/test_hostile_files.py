"""Whatever stands in the kernel's files, a collector reads, or says why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings, strategies as st
import pytest

from companion_agent.errors import Unavailable
from companion_agent.plugins import registry
from support.agent_machines import MACHINES, FakeMachine, build

from .catalogue import check_platform

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

NASTY = [
    b"",
    b"\n",
    b"\0",
    b"-1\n",
    b"0\n",
    b"18446744073709551615\n",
    b"-9223372036854775808\n",
    b"9" * 70,
    b"nan inf -inf\n",
    b"\xff\xfe\xfd\n",
    b"a/../b\n",
    b"x" * 5000,
]
LINES = st.lists(st.sampled_from(NASTY) | st.binary(max_size=60), min_size=1, max_size=4).map(
    b" ".join
)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> None:
    return {name: build(name, tmp_path_factory.mktemp(name)) for name in MACHINES}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.parametrize("name", MACHINES)
def test_any_bytes_in_any_file_keep_to_the_catalogue(
    hosts: dict[str, FakeMachine], name: str, data: Any
) -> None:
    host: FakeMachine = hosts[name]
    path = data.draw(st.sampled_from(host.files()))
    before = (host.root / path).read_bytes()
    bad = data.draw(LINES)
    fresh = FakeMachine(host.root)
    fresh.space = host.space
    early = data.draw(st.booleans())
    try:
        if early:
            host.write(path, bad)
        check_platform(fresh, lambda: host.write(path, bad))
        fresh.host_info()
        fresh.installation_id()
    finally:
        host.write(path, before)


@pytest.mark.parametrize("name", MACHINES)
def test_files_that_vanish_between_two_passes(name: str, tmp_path: Path) -> None:
    """Take one file away at a time from collectors at work."""
    host = build(name, tmp_path)
    working = []
    for plugin in registry.collectors().values():
        collector = plugin(host)
        try:
            collector.probe()
            working.append(collector)
        except Unavailable:
            pass
    for path in host.files():
        host.remove(path)
        for collector in list(working):
            try:
                values = collector.collect()
                assert {reading.key for reading in collector.readings()} == set(values)
            except Unavailable:
                working.remove(collector)
    for collector in working:
        collector.close()

    # Of some the folders tell enough: an array is there, nothing is plugged into USB.
    assert {collector.name for collector in working} <= {
        "agent",
        "disk_health",
        "usb",
        "system",
        "wifi",
        "temperature",
        "fan",
        "graphics",
    }
