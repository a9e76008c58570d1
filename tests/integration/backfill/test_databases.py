"""The same hours, whatever database the recorder has."""

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from homeassistant.components.recorder import get_instance
import pytest
from pytest_homeassistant_custom_component.patch_time import HAFakeDatetime

from custom_components.pilot.rooms.rooms import HOUR

from .conftest import RECEIVED, Night, near
from .databases import mariadb, postgresql
from .test_backfill import BACK, CUT, HEARD, assert_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVERS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "postgresql": postgresql,
    "mysql": mariadb,
}


@pytest.fixture(params=list(SERVERS))
def dialect(request: pytest.FixtureRequest) -> str:
    """Return which database it is."""
    return str(request.param)


@pytest.fixture
def recorder_db_url(
    dialect: str, socket_enabled: None, hass_fixture_setup: list[bool]
) -> Iterator[str]:
    """Return the address of a database, in place of the usual one in memory."""
    assert not hass_fixture_setup
    with SERVERS[dialect]() as url, frozen_moments_are_moments():
        yield url


@contextmanager
def frozen_moments_are_moments() -> Iterator[None]:
    """Let PyMySQL, which looks types up by name, know what a frozen clock gives."""
    converters = pytest.importorskip("pymysql.converters")
    known = {HAFakeDatetime: converters.escape_datetime}
    with patch.dict(converters.conversions, known):
        yield


async def test_an_outage_leaves_no_trace(night: Night, dialect: str) -> None:
    """Measurements in two parts, the second of them twice; and a counter."""
    engine = get_instance(night.hass).engine
    assert engine is not None
    assert engine.dialect.name == dialect
    backlog = await night.play(HEARD, CUT, BACK)
    await night.compile(5)
    assert await night.hours(night.far) != near(await night.hours(night.near))

    half = len(backlog) // 2
    await night.deliver(backlog[:half], more=True)
    chunk = await night.deliver(backlog[half:])
    await night.deliver(backlog[half:], chunk=chunk)

    await assert_equal(night)

    counted = {second: second * 1e6 for second in range(5 * HOUR, 9 * HOUR, 600)}
    backlog = await night.play(counted, 6 * HOUR, 8 * HOUR + 60, RECEIVED)
    await night.compile(9)
    await night.deliver(backlog, key=RECEIVED)

    undisturbed = await night.rows(night.near, RECEIVED)
    assert len(undisturbed) == 4
    assert await night.rows(night.far, RECEIVED) == near(undisturbed)
