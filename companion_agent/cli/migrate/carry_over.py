"""What becomes of every key of a file of the first version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import voluptuous as vol

from companion_agent.cli.migrate import table
from companion_agent.cli.migrate.mapping import (
    Found,
    Mapper,
    Outcome,
    Unmapped,
    normal,
    seconds_of,
)
from companion_agent.config.errors import ConfigError, Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from companion_agent.cli.migrate.v1_config import Entry


def carry_over(entries: Sequence[Entry], base: Path, device: str = "") -> Found:
    """Carry a file's keys over.

    Args:
        entries: The keys.
        base: The file's folder, where its relative paths start.
        device: What the host was called in topics, whatever the file says; empty to believe it.

    Raises:
        ConfigError: Values are not what is expected; all of them are named, with their lines.
    """
    mapper = Mapper(base, device)
    mistakes: list[Mistake] = []
    outcomes: dict[int, Outcome] = {}
    order = sorted(range(len(entries)), key=lambda place: _turn(entries[place]))
    for place in order:
        entry = entries[place]
        try:
            outcomes[place] = _carry(mapper, entry)
        except vol.Invalid as error:
            mistakes.append(Mistake(entry.where, entry.key, error.error_message))
    found = mapper.found
    found.outcomes = [outcomes[place] for place in sorted(outcomes)]
    mistakes += _together(found)
    if mistakes:
        raise ConfigError(mistakes)
    if found.encrypted is False and found.tls:
        found.outcomes = [_not_encrypted(outcome) for outcome in found.outcomes]
    found.name = found.name or found.device
    return found


def _carry(mapper: Mapper, entry: Entry) -> Outcome:
    if entry.again:
        return Outcome(entry, "", f"line {entry.again} sets it again, and the last one counted")
    found = table.find(normal(entry.key))
    # An empty list of commands says that there are none.
    if entry.value == "" and not (found and found[0].map is Mapper.allow):
        return Outcome(entry, "", "is empty")
    if found is None:
        return Outcome(entry, "", "is not known; what it meant has to be set by hand")
    rule, match = found
    try:
        return Outcome(entry, rule.map(mapper, entry, match), entry.note)
    except Unmapped as reason:
        return Outcome(entry, "", str(reason))


def _turn(entry: Entry) -> tuple[bool, float]:
    """Tell when an entry's turn is: the first interval that is set counts.

    What is said of one sensor goes over what is said of all, and the shortest of those that one
    collector reads over the others, wherever they stand.
    """
    name = normal(entry.key)
    if table.is_about_all(name):
        return True, 0
    found = table.find(name)
    if found is None or found[0].map is not Mapper.interval:
        return False, 0
    try:
        return False, seconds_of(entry.value, 0)
    except vol.Invalid:
        return False, 0


def _together(found: Found) -> Iterable[Mistake]:
    if "password" in found.broker and "username" not in found.broker:
        entry = next(
            outcome.entry for outcome in found.outcomes if outcome.to.startswith("broker.password")
        )
        yield Mistake(entry.where, entry.key, "has no user name to it; add a line MQTT_USERNAME=…")
    if "client_key" in found.tls and "client_cert" not in found.tls:
        entry = next(
            outcome.entry for outcome in found.outcomes if outcome.to == "broker.tls.client_key"
        )
        yield Mistake(entry.where, entry.key, "has no certificate to it; add a line CLIENT_CERT=…")


def _not_encrypted(outcome: Outcome) -> Outcome:
    if outcome.to.startswith("broker.tls."):
        return Outcome(outcome.entry, "", "the connection was not encrypted")
    return outcome
