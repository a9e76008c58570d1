"""`docs/protocol.md` says what the code does: its table, and every size, count and time."""

from __future__ import annotations

from pathlib import Path
import subprocess

import pytest

from companion_agent.buffer import consumer_status, deliver, store
from companion_agent.ipc import handlers
from companion_agent.mqtt import publisher
from companion_agent.protocol import pairing, signing, validation as limit
from companion_agent.protocol.messages import REASONS
from companion_agent.security import replay

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "protocol.md").read_text("utf-8")

NUMBERS = {5: "five", 10: "ten", 15: "fifteen"}


def kib(size: int) -> str:
    assert size % 1024 == 0
    return f"{size // 1024} KiB"


def minutes(seconds: float) -> str:
    return f"{NUMBERS[int(seconds) // 60]} minutes"


SIZES = [
    (
        f"announce {kib(limit.MAX_ANNOUNCE)}, state {kib(limit.MAX_STATE)}, "
        f"availability {limit.MAX_AVAILABILITY} bytes"
    ),
    (
        f"Command {kib(limit.MAX_COMMAND)}, event {kib(limit.MAX_EVENT)}, "
        f"result {kib(limit.MAX_RESULT)} with a picture of {kib(limit.MAX_PICTURE)}"
    ),
    f"the body of an availability {kib(limit.MAX_AVAILABILITY_BODY)}",
    f"acknowledgement {kib(limit.MAX_ACKNOWLEDGEMENT)}",
    f"{kib(limit.MAX_CHUNK_ENVELOPE)} around a body of {kib(limit.MAX_CHUNK)}",
    f"pairing message {kib(limit.MAX_PAIRING)}",
    f"envelope {kib(limit.MAX_ENVELOPE)} around a body of {kib(limit.MAX_ANNOUNCE)}",
]
COUNTS = [
    (
        f"{limit.MAX_READINGS:,} readings, {limit.MAX_COLLECTORS} collectors, "
        f"{limit.MAX_DEVICES} devices, {limit.MAX_MACS} hardware addresses, "
        f"{limit.MAX_OPTIONS} options, {limit.MAX_COMMANDS} commands and "
        f"{limit.MAX_EVENTS} events, {limit.MAX_ARGUMENTS} arguments of a command, "
        f"{limit.MAX_EVENT_DATA} fields in the `data` of an event, "
        f"{limit.MAX_SIGNATURES} ids of keys, precision 0 to {limit.MAX_PRECISION}"
    ),
    f"At most {limit.MAX_COMMANDS} commands are announced",
    f"`args` has at most {limit.MAX_ARGUMENTS} names",
    f"{limit.MAX_REFUSED_COUNTS} counts in `refused`",
    f"A host takes at most {limit.MAX_PAIRED}.",
    (
        f"at most {limit.MAX_CHUNK_POINTS:,} points, {limit.MAX_CHUNK_READINGS} keys and "
        f"{kib(limit.MAX_CHUNK)}, with its envelope {kib(limit.MAX_CHUNK_ENVELOPE)}; this agent "
        f"makes them of at most {store.CHUNK_POINTS:,} points"
    ),
    f"(the last {replay._KEPT_ANSWERS} are kept)",
    f"at least {signing.SECRET_SIZE} bytes, of which at least {signing.MIN_VARIETY} differ",
]
LENGTHS = [
    f"texts {limit.MAX_TEXT} characters unless said otherwise",
    f"a key has at most {limit.MAX_KEY} characters",
    f"1 to {limit.MAX_OF} characters",
    f"`fix` has at most {limit.MAX_FIX:,} characters",
    f"`notes` of at most {limit.MAX_NOTES:,} characters",
    f"`name` has 1 to {limit.MAX_CONTROLLER_NAME} characters",
    f"`message` is base64 of the library's {pairing._MESSAGE_SIZE} bytes",
    "numbers finite and below 1e15 in size",
    f"0 < interval ≤ {limit.MAX_INTERVAL:,}",
]
TIMES = [
    f"more than {replay.MAX_AGE:.0f} s before or after the host's time",
    f"valid for {minutes(pairing.LIFETIME)}",
    f"younger than {pairing.PATIENCE:.0f} seconds",
    f"remembered for {minutes(handlers._REMEMBERED)}",
    "sent again after 5, 10, 30 and 60 seconds, then every five minutes",
    f"until {consumer_status.SETTLES:.0f} seconds after `online`",
    f"looks again every {minutes(publisher.LOOK_EVERY)}",
    f"has not been heard for {minutes(publisher.FORGET_AFTER)}",
]


@pytest.mark.parametrize("phrase", [*SIZES, *COUNTS, *LENGTHS, *TIMES])
def test_limits(phrase: str) -> None:
    assert phrase in TEXT


def test_limits_in_words() -> None:
    """Those that the document spells out."""
    assert deliver.REPEATS == (5, 10, 30, 60, 300)
    assert limit.MAX_NUMBER == 1e15
    assert limit.MAX_WHOLE == 2**53
    assert "0 < `counter` < 2⁵³" in TEXT
    assert pairing.CODE_DIGITS == 8
    assert "a code of eight digits" in TEXT
    assert pairing.TRIES == 5
    assert "after five the code is burned" in TEXT
    assert consumer_status.DOUBT == 3600
    assert "for at most an hour" in TEXT
    assert publisher.NUMBERS_PER_CONNECTION == 1_000_000
    assert "Each attempt to connect takes a million numbers" in TEXT
    assert publisher.LOOK_LIMIT == 10
    assert "waits ten seconds for an answer" in TEXT


def test_reasons_of_a_rejection_stand_in_their_order() -> None:
    rows = TEXT.partition("| reason | the message |")[2].splitlines()[2:]

    assert tuple(row.split("`")[1] for row in rows[: len(REASONS)]) == REASONS
    assert not rows[len(REASONS)].startswith("|")


def test_generated_parts_are_up_to_date() -> None:
    command = [str(ROOT / "scripts" / "generate-docs"), "--check"]

    check = subprocess.run(command, capture_output=True, text=True, check=False)

    # It may have something to say, such as that it builds its environment first.
    assert check.returncode == 0, check.stderr
