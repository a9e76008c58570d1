"""Makes the table of what Pilot can read and do, by system, for `docs/supported.md`.

What a system offers, and the rights that it takes, is declared in `docs/supported.toml`, since only
trying tells. What proves it is found in the tests: `@pytest.mark.proves("screen.on", "media.*")`.
"""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase
from pathlib import Path
import tomllib
from typing import TYPE_CHECKING, NamedTuple, get_args

from companion_agent.platforms.control import PowerAction, SessionAction
from companion_agent.platforms.services import Verb
from companion_agent.plugins import agent, config, readings, registry
from companion_agent.plugins.desktop import DesktopPlugin
from companion_agent.protocol.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[1]
DECLARED = ROOT / "docs" / "supported.toml"
MARKER = "proves"
PLACES = {
    "agent": "unit",
    "contract": "unit",
    "e2e": "Home Assistant",
    "hardware": "machine in QEMU",
    "integration": "integration",
    "systemd": "host that boots",
    "windows": "Wine",
}
"""What the tests of a folder run on."""


class Support(NamedTuple):
    """What is declared of some readings and commands.

    Attributes:
        names: Which, with `*` for any characters.
        linux: `yes`, or what is special, or why it is not there.
        windows: The same there.
        rights: What it takes beside a user of its own; empty for nothing.
    """

    names: tuple[str, ...]
    linux: str
    windows: str
    rights: str = ""


class Proof(NamedTuple):
    """A file of tests, and what it proves."""

    file: str
    names: frozenset[str]


class UndeclaredError(Exception):
    """The declarations or the tests lack something; the text says what."""


def commands() -> set[str]:
    """Return the names of all commands that no reading has as well."""
    found = {f"power.{action}" for action in get_args(PowerAction)}
    found |= {f"session.{action}" for action in get_args(SessionAction)}
    found |= {f"services.{verb}" for verb in get_args(Verb)}
    found |= {agent.RELOAD, agent.RESTART, agent.UPDATE, config.CONFIG_GET, config.CONFIG_SET}
    found.add(readings.REFRESH)
    for plugin in registry.BUILT_IN.values():
        if issubclass(plugin, DesktopPlugin):
            found |= {command.key for command in plugin.declared_commands}
    return found - CATALOGUE.keys()


def declared(path: Path = DECLARED) -> list[Support]:
    """Read the declarations."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Support(**{**row, "names": tuple(row["names"])}) for row in content["row"]]


def proofs(folder: Path) -> Iterator[Proof]:
    """Find what the tests below a folder say that they prove."""
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        # Those of the integration are for a later Python than this one.
        if f".{MARKER}(" not in text:
            continue
        names = {
            str(argument.value)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == MARKER
            for argument in node.args
            if isinstance(argument, ast.Constant)
        }
        if names:
            yield Proof(path.relative_to(folder).as_posix(), frozenset(names))


def rows(
    names: Iterable[str], supports: Sequence[Support], found: Sequence[Proof]
) -> Iterator[tuple[str, str, str, str, str]]:
    """Return what is known of each name: it, Linux, Windows, the rights, the proofs.

    Raises:
        UndeclaredError: Something is not declared, not proved, or not there any more.
    """
    names = list(names)
    patterns = [pattern for support in supports for pattern in support.names]
    patterns += [pattern for proof in found for pattern in proof.names]
    if lost := [one for one in patterns if not any(fnmatchcase(name, one) for name in names)]:
        raise UndeclaredError(f"no reading and no command is called {', '.join(sorted(lost))}")
    for name in names:
        support = _support(name, supports)
        proved = _closest(name, found)
        if not proved:
            raise UndeclaredError(
                f'no test says that it proves {name}: pytest.mark.proves("{name}")'
            )
        links = ", ".join(f"[{place}](../tests/{file})" for place, file in sorted(proved.items()))
        yield name, support.linux, support.windows, support.rights, links


def _support(name: str, supports: Sequence[Support]) -> Support:
    """Return what is declared of a name: the longest pattern counts."""
    fitting = [
        (len(pattern), support)
        for support in supports
        for pattern in support.names
        if fnmatchcase(name, pattern)
    ]
    if not fitting:
        raise UndeclaredError(f"{name} has no row in docs/supported.toml")
    return max(fitting, key=lambda one: one[0])[1]


def _closest(name: str, found: Iterable[Proof]) -> dict[str, str]:
    """Return one file of each sort of tests: that with the longest pattern."""
    fitting = sorted(
        (len(pattern), proof.file)
        for proof in found
        for pattern in proof.names
        if fnmatchcase(name, pattern)
    )
    return {PLACES[file.partition("/")[0]]: file for _, file in fitting}


def table() -> list[tuple[str, str, str, str, str]]:
    """Return the rows of everything that there is, readings before commands.

    Raises:
        UndeclaredError: Something is not declared, not proved, or not there any more.
    """
    names = [*sorted(CATALOGUE), *sorted(commands())]
    return list(rows(names, declared(), list(proofs(ROOT / "tests"))))
