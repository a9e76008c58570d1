"""What becomes of every key of a file of the first version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import voluptuous as vol

from companion_agent.cli.migrate import table
from companion_agent.cli.migrate.mapping import (
    Fate,
    Found,
    Left,
    Taker,
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
    taker = Taker(base, device)
    mistakes: list[Mistake] = []
    fates: dict[int, Fate] = {}
    order = sorted(range(len(entries)), key=lambda place: _turn(entries[place]))
    for place in order:
        entry = entries[place]
        try:
            fates[place] = _carry(taker, entry)
        except vol.Invalid as error:
            mistakes.append(Mistake(entry.where, entry.key, error.error_message))
    found = taker.found
    found.fates = [fates[place] for place in sorted(fates)]
    mistakes += _together(found)
    if mistakes:
        raise ConfigError(mistakes)
    if found.encrypted is False and found.tls:
        found.fates = [_not_encrypted(fate) for fate in found.fates]
    found.name = found.name or found.device
    return found


def _carry(taker: Taker, entry: Entry) -> Fate:
    if entry.again:
        return Fate(entry, "", f"line {entry.again} sets it again, and the last one counted")
    found = table.find(normal(entry.key))
    # An empty list of commands says that there are none.
    if entry.value == "" and not (found and found[0].take is Taker.allow):
        return Fate(entry, "", "is empty")
    if found is None:
        return Fate(entry, "", "is not known; what it meant has to be set by hand")
    rule, match = found
    try:
        return Fate(entry, rule.take(taker, entry, match), entry.note)
    except Left as left:
        return Fate(entry, "", str(left))


def _turn(entry: Entry) -> tuple[bool, float]:
    """Tell when an entry's turn is: the first interval that is set counts.

    What is said of one sensor goes over what is said of all, and the shortest of those that one
    collector reads over the others, wherever they stand.
    """
    name = normal(entry.key)
    if table.is_about_all(name):
        return True, 0
    found = table.find(name)
    if found is None or found[0].take is not Taker.interval:
        return False, 0
    try:
        return False, seconds_of(entry.value, 0)
    except vol.Invalid:
        return False, 0


def _together(found: Found) -> Iterable[Mistake]:
    if "password" in found.broker and "username" not in found.broker:
        entry = next(fate.entry for fate in found.fates if fate.to.startswith("broker.password"))
        yield Mistake(entry.where, entry.key, "has no user name to it; add a line MQTT_USERNAME=…")
    if "client_key" in found.tls and "client_cert" not in found.tls:
        entry = next(fate.entry for fate in found.fates if fate.to == "broker.tls.client_key")
        yield Mistake(entry.where, entry.key, "has no certificate to it; add a line CLIENT_CERT=…")


def _not_encrypted(fate: Fate) -> Fate:
    if fate.to.startswith("broker.tls."):
        return Fate(fate.entry, "", "the connection was not encrypted")
    return fate
