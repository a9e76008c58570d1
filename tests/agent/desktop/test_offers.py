"""What a desktop offered stays announced over restarts of the agent, until it is withdrawn."""

from __future__ import annotations

import errno
import json
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.desktop.messages import Offer, Offered, Thing
from companion_agent.desktop.offers import FORGOTTEN_AFTER, OFFERS_FILE, LastOffers
from companion_agent.desktop.sessions import SETTLED
from companion_agent.errors import CommandError, Unavailable
from companion_agent.models import Argument, ChoiceArgument, Command, Reading
from companion_agent.plugins.desktop import DesktopPlugin
from support.agent_desktop import AgentEnd, FakeControl, HelperEnd, session
from support.agent_host import FakePlatform
from support.clock import ManualClock
from support.event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VOLUME, OUTPUT = Thing("volume"), Thing("output")
WHOLE = Offer(
    (VOLUME, OUTPUT),
    (VOLUME, OUTPUT),
    "PulseAudio",
    {"input": "there is none"},
    {OUTPUT: ("Speaker", "Kopfhörer")},
)


class RadioPlugin(DesktopPlugin):
    """A domain of a desktop."""

    name = "sound"
    declared_readings = (Reading("volume"), Reading("output"))
    declared_commands = (
        Command("sound.volume", {"value": Argument("percent", 0, 100)}, state="sound.volume"),
        Command("sound.output", {"value": ChoiceArgument(())}, state="sound.output"),
    )


class Machine:
    """A machine whose agent is started and ended, and whose users come and go."""

    def __init__(self, folder: Path, control: FakeControl) -> None:
        self.clock, self.now = ManualClock(), ManualClock(1_790_000_000.0)
        self._folder = folder
        self._control = control
        self._helpers: list[HelperEnd] = []
        self.agent = self._start()

    def _start(self) -> AgentEnd:
        agent = AgentEnd(self._folder, self._control, clock=self.clock, now=self.now)
        agent.__enter__()
        self.radio = RadioPlugin(FakePlatform(), None, agent.sessions)  # type: ignore[arg-type]
        return agent

    def reboot(self) -> None:
        self.stop()
        self.agent = self._start()

    def stop(self) -> None:
        for helper in self._helpers:
            helper.close()
        self.agent.stop()

    def log_in(self, offer: Offer, **who: Any) -> HelperEnd:
        """Log a user in, whose helper offers this at first."""
        user = session(**who)
        self._control.answers[0] = user
        self.agent.follow(user)
        helper = HelperEnd.admitted(self.agent.folder)
        self._helpers.append(helper)
        self.offer(helper, offer)
        return helper

    def offer(self, helper: HelperEnd, offer: Offer) -> None:
        self.agent.offered.clear()
        helper.say(Offered("sound", offer))
        self.agent.wait_for_offer("sound")

    def log_out(self, helper: HelperEnd) -> None:
        helper.close()
        self.agent.follow()
        wait_until(lambda: not self.agent.sessions.describe())

    @property
    def shown(self) -> dict[str, Any]:
        """What the agent announces and reads of the desktop; empty where it announces nothing."""
        try:
            return dict(self.radio.collect())
        except Unavailable:
            return {}


@pytest.fixture
def machine(tmp_path: Path, control: FakeControl) -> Iterator[Machine]:
    machine = Machine(tmp_path, control)
    yield machine
    machine.stop()


HOUR = 3600.0
ABSENT = {"volume": None, "output": None}


def test_after_a_reboot_all_is_announced_and_absent_until_a_login(machine: Machine) -> None:
    machine.log_in(WHOLE)
    before = (machine.radio.collect(), machine.radio.readings(), machine.radio.commands())

    machine.reboot()

    assert (machine.radio.collect(), machine.radio.readings(), machine.radio.commands()) == before
    with pytest.raises(CommandError, match="no user is logged in"):
        machine.radio.run("sound.volume", {"value": 50})
    machine.log_in(Offer((VOLUME,), (VOLUME,)))
    assert machine.shown == {"volume": None}


def test_what_was_offered_is_private(machine: Machine, tmp_path: Path) -> None:
    machine.log_in(WHOLE)
    assert machine.shown == ABSENT

    assert (tmp_path / "state" / OFFERS_FILE).stat().st_mode & 0o077 == 0


def test_a_desktop_that_is_still_starting_has_withdrawn_nothing(machine: Machine) -> None:
    machine.log_in(WHOLE)
    assert machine.shown == ABSENT
    machine.reboot()

    helper = machine.log_in(Offer(why={"": "no sound server runs yet"}))

    assert machine.shown == ABSENT
    machine.clock.advance(SETTLED - 1)
    machine.offer(helper, Offer(why={"": "no sound server runs"}))
    assert machine.shown == ABSENT
    machine.clock.advance(1)
    assert machine.shown == {}


def test_what_ends_before_its_helper_at_logout_was_not_withdrawn(machine: Machine) -> None:
    helper = machine.log_in(WHOLE)
    assert machine.shown == ABSENT

    machine.offer(helper, Offer(why={"": "the sound server has ended"}))
    assert machine.shown == {}
    machine.log_out(helper)

    assert machine.shown == ABSENT


def test_what_its_user_has_withdrawn_is_forgotten_for_good(machine: Machine) -> None:
    helper = machine.log_in(WHOLE)
    assert machine.shown == ABSENT
    machine.offer(helper, Offer(why={"": "the last sound card was taken out"}))
    machine.clock.advance(SETTLED)
    assert machine.shown == {}

    machine.log_out(helper)
    assert machine.shown == {}
    machine.reboot()

    assert machine.shown == {}


def test_another_users_desktop_that_lacks_it_withdraws_nothing(machine: Machine) -> None:
    machine.log_in(WHOLE)
    assert machine.shown == ABSENT
    machine.reboot()

    machine.log_in(Offer(why={"": "no sound server"}), name="7", user="ben", uid=1001)
    machine.clock.advance(SETTLED)

    assert machine.shown == ABSENT


def test_a_user_of_windows_is_kept_by_the_accounts_sid(tmp_path: Path) -> None:
    sid = "S-1-5-21-1-2-3-1001"
    offers = LastOffers(tmp_path)
    offers.note("sound", sid, WHOLE)
    offers.save()

    last = LastOffers(tmp_path).of("sound")

    assert last
    assert (last.user, last.offer) == (sid, WHOLE)
    # What versions before this one read.
    assert json.loads((tmp_path / OFFERS_FILE).read_text("utf-8"))["offers"][0]["uid"] == -1


def test_what_is_offered_no_more_for_long_is_forgotten(machine: Machine) -> None:
    machine.log_in(WHOLE)
    assert machine.shown == ABSENT
    machine.now.advance(FORGOTTEN_AFTER / 2)
    assert machine.shown == ABSENT
    machine.reboot()

    machine.now.advance(FORGOTTEN_AFTER - 86_400)
    assert machine.shown == ABSENT
    machine.now.advance(86_400)
    assert machine.shown == ABSENT
    machine.clock.advance(HOUR)
    assert machine.shown == {}


def test_a_clock_that_is_ahead_at_the_boot_costs_nothing(machine: Machine) -> None:
    machine.log_in(WHOLE)
    assert machine.shown == ABSENT
    machine.reboot()

    machine.now.advance(10 * FORGOTTEN_AFTER)
    assert machine.shown == ABSENT
    # Then a time server has set it, and the next time it is wrong begins anew.
    machine.now.advance(-10 * FORGOTTEN_AFTER)
    assert machine.shown == ABSENT
    machine.clock.advance(HOUR)
    machine.now.advance(10 * FORGOTTEN_AFTER)
    assert machine.shown == ABSENT


def test_a_clock_that_was_ahead_costs_nothing(machine: Machine) -> None:
    machine.now.advance(10 * FORGOTTEN_AFTER)
    machine.log_in(WHOLE)
    assert machine.shown == ABSENT
    machine.now.advance(-10 * FORGOTTEN_AFTER)
    assert machine.shown == ABSENT
    machine.reboot()

    machine.now.advance(FORGOTTEN_AFTER - 86_400)
    assert machine.shown == ABSENT


def test_the_file_is_left_alone_while_nothing_changes(machine: Machine, tmp_path: Path) -> None:
    helper = machine.log_in(WHOLE)
    assert machine.shown == ABSENT
    file = tmp_path / "state" / OFFERS_FILE
    written = file.stat().st_ino

    machine.now.advance(3600)
    machine.offer(helper, WHOLE)
    assert machine.shown == ABSENT

    assert file.stat().st_ino == written


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"version": 1}',
        '{"version": 1, "offers": [{"uid": 1, "at": "soon", "offer": "sound"}]}',
        '{"version": 1, "offers": [{"uid": 1, "at": 5, "offer": "sound", "readings": 3}]}',
    ],
)
def test_a_damaged_file_is_moved_aside(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / OFFERS_FILE).write_text(content)

    assert LastOffers(tmp_path).of("sound") is None

    assert "damaged" in caplog.text
    assert (tmp_path / f"{OFFERS_FILE}.damaged").read_text() == content


def test_a_file_of_a_newer_version_stays_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = '{"version": 2, "offers": []}'
    (tmp_path / OFFERS_FILE).write_text(content)

    assert LastOffers(tmp_path).of("sound") is None

    assert "a newer version of the agent wrote it" in caplog.text
    assert (tmp_path / OFFERS_FILE).read_text() == content


def test_a_disk_that_is_full_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    offers = LastOffers(tmp_path)
    offers.note("sound", 1000, WHOLE)
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr("companion_agent.storage.state_file.write_private", fail)
        offers.save()
        offers.save()
    assert caplog.text.count("No space left") == 1

    offers.save()

    last = LastOffers(tmp_path).of("sound")
    assert last
    assert last.offer == WHOLE
