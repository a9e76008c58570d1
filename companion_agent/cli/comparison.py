"""Compares what the running service sees of this host with what this shell sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from companion_agent.cli.read import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from companion_agent.ipc.sight import SeenCollector

# Sizes differ by this much where a file system grew in between.
_TOLERANCE = 0.01
# More names than this are counted.
_MOST_NAMES = 5


class Difference(NamedTuple):
    """Something that both see differently.

    Attributes:
        text: What it is.
        lost: Whether the service has less of it, or another size.
    """

    text: str
    lost: bool


def compare(
    service: Mapping[str, SeenCollector], shell: Mapping[str, SeenCollector]
) -> list[Difference]:
    """Say what the service sees otherwise than this shell; values that change are not compared."""
    found: list[Difference] = []
    for name in sorted(service.keys() | shell.keys()):
        if name not in service:
            text = (
                f"{name}: the service does not read it; its configuration was another at its start"
            )
            found.append(Difference(text, lost=True))
        elif name not in shell:
            text = f"{name}: the service reads it; its configuration was another at its start"
            found.append(Difference(text, lost=False))
        else:
            found += _compare(name, service[name], shell[name])
    return found


def _compare(name: str, service: SeenCollector, shell: SeenCollector) -> Iterator[Difference]:
    if service["available"] is None:
        return  # It is still found out: the agent has only just started.
    if service["available"] != shell["available"]:
        lost = bool(shell["available"])
        count = len((shell if lost else service)["readings"])
        why = (service if lost else shell)["why"] or "nothing is there"
        one, other = ("the service", "this shell") if lost else ("this shell", "the service")
        yield Difference(f"{name}: {one} says “{why}”, {other} sees {count} readings", lost)
        return
    theirs, ours = service["readings"], shell["readings"]
    if missing := [key for key in ours if key not in theirs]:
        yield Difference(f"the service does not see {_names(missing)}", lost=True)
    if more := [key for key in theirs if key not in ours]:
        yield Difference(f"this shell does not see {_names(more)}", lost=False)
    both = [key for key in ours if key in theirs]
    unread = [
        key for key in both if theirs[key]["value"] is None and ours[key]["value"] is not None
    ]
    if unread and service["why"]:
        yield Difference(f"{name}: the service says “{service['why']}”", lost=True)
    elif unread:
        # Others come and go: the time that a battery lasts, an address.
        lost = any(ours[key]["kind"].endswith("total") for key in unread)
        yield Difference(f"the service cannot read {_names(unread)}", lost)
    for key in both:
        there, here = theirs[key], ours[key]
        if there["unit"] != here["unit"]:
            text = f"{key}: the service reads {there['unit']}, this shell {here['unit']}"
            yield Difference(text, lost=True)
        elif here["kind"].endswith("total") and _differ(there["value"], here["value"]):
            sees = shown(there["value"], there["unit"])
            text = (
                f"{key}: the service sees {sees}, this shell {shown(here['value'], here['unit'])}"
            )
            yield Difference(text, lost=True)


def _differ(one: object, other: object) -> bool:
    if not isinstance(one, (int, float)) or not isinstance(other, (int, float)):
        return False
    return abs(one - other) > _TOLERANCE * max(abs(one), abs(other))


def _names(keys: list[str]) -> str:
    more = len(keys) - _MOST_NAMES
    return ", ".join(keys[:_MOST_NAMES]) + (f" and {more} others" if more > 0 else "")
