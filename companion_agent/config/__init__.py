"""The configuration: found, read, checked as a whole, and handed over as frozen values."""

from __future__ import annotations

from dataclasses import replace
import os
from pathlib import Path
import sys
from typing import TYPE_CHECKING, Any

import voluptuous as vol

from companion_agent.config import schema, source, values
from companion_agent.config.errors import ConfigError, Mistake
from companion_agent.config.model import (
    Broker,
    CollectorConfig,
    Config,
    LogConfig,
    Tls,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.config.source import Document, Place
    from companion_agent.plugins.base import Collector

__all__ = [
    "Broker",
    "CollectorConfig",
    "Config",
    "ConfigError",
    "LogConfig",
    "Mistake",
    "Tls",
    "find_file",
    "load",
]

APP = "pilot-agent"

# Files that systemd's LoadCredential= and the like hand over, by the key that they set.
_CREDENTIALS = {
    "broker.username": ("broker", "username"),
    "broker.password": ("broker", "password"),
    "broker.tls.key_password": ("broker", "tls", "key_password"),
    "security.fleet_key": ("security", "fleet_key"),
}


def search_path(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """List where a configuration is looked for, first one first."""
    import platformdirs  # noqa: PLC0415  (not needed when the file is named)

    if named := environment.get("PILOT_CONFIG"):
        return [Path(named)]
    users = platformdirs.user_config_path(APP, appauthor=False) / "config.yaml"
    if sys.platform == "win32":
        machines = Path(environment.get("PROGRAMDATA", r"C:\ProgramData"), APP, "config.yaml")
        return [users, machines]
    else:  # noqa: RET505  (mypy leaves out only what is inside)
        return [Path("/etc", APP, "config.yaml"), users]


def find_file(explicit: Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Find the configuration file; `None` where there is none.

    Args:
        explicit: The file that the command line names.
        environment: The environment.
    """
    if explicit:
        return explicit
    if named := environment.get("PILOT_CONFIG"):
        return Path(named)
    return next((path for path in search_path(environment) if path.exists()), None)


def load(
    explicit: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    collectors: Mapping[str, type[Collector]] | None = None,
    *,
    needs_broker: bool = True,
) -> Config:
    """Read the configuration file and the environment.

    Args:
        explicit: The file that the command line names.
        environment: The environment.
        collectors: The collectors that there are; all of them when `None`.
        needs_broker: Whether a configuration that names no broker is wrong.

    Raises:
        ConfigError: Anything is wrong; it names everything that is.
    """
    path = find_file(explicit, environment)
    document = source.read_file(path) if path else source.Document()
    if document.mistakes and not document.tree:
        # What the rest should be cannot be said of a file that cannot be read.
        raise ConfigError(document.mistakes)
    base = path.absolute().parent if path else Path.cwd()
    checked = schema.build(base, _known(collectors))
    _apply_credentials(document, environment)
    source.apply_environment(document, environment, _leaves(checked, collectors))
    if not needs_broker:
        document.tree.setdefault("broker", "localhost")
    secrets = source.secret_files(document, path, base)
    return replace(_check(document, checked, environment, path), secret_files=secrets)


def _check(
    document: Document,
    checked: schema.Section[dict[str, Any]],
    environment: Mapping[str, str],
    path: Path | None,
) -> Config:
    mistakes = list(document.mistakes)
    values = {}
    try:
        values = checked(document.tree)
    except vol.MultipleInvalid as error:
        mistakes += [_mistake(document, invalid) for invalid in error.errors]
    if path is None and any(mistake.key == "broker" for mistake in mistakes):
        looked = ", ".join(str(place) for place in search_path(environment))
        mistakes = [mistake for mistake in mistakes if mistake.key != "broker"]
        problem = (
            f"there is no configuration; looked for {looked}. "
            "Write one with the line `broker: HOST`, or set PILOT_BROKER"
        )
        mistakes.insert(0, Mistake("", "", problem))
    if mistakes:
        raise ConfigError(sorted(mistakes, key=_in_order))
    values["brokers"] = values.pop("broker")
    values.update(values.pop("home_assistant", {}))
    values.update(values.pop("security", {}))
    values.setdefault("state_dir", default_state_dir(environment))
    return Config(**values, path=path)


def default_state_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the agent keeps what it must remember, unless configured."""
    if given := environment.get("STATE_DIRECTORY"):  # systemd's StateDirectory=
        return Path(given.split(":")[0])
    if sys.platform == "win32":
        return Path(environment.get("PROGRAMDATA", r"C:\ProgramData"), APP, "state")
    else:  # noqa: RET505  (mypy leaves out only what is inside)
        if os.geteuid() == 0:
            return Path("/var/lib", APP)
        import platformdirs  # noqa: PLC0415  (not needed by services)

        return platformdirs.user_state_path(APP, appauthor=False)


def _known(collectors: Mapping[str, type[Collector]] | None) -> dict[str, schema.Known]:
    if collectors is None:
        from companion_agent.plugins import registry  # noqa: PLC0415  (tests bring their own)

        collectors = registry.collectors()
    return {
        name: schema.Known(collector.interval, collector.selects)
        for name, collector in collectors.items()
    }


def _leaves(
    checked: schema.Section[dict[str, Any]], collectors: Mapping[str, type[Collector]] | None
) -> list[tuple[str, ...]]:
    """List all keys that a variable can set, with every collector's and part's name spelled out."""
    names = {"<collector>": list(_known(collectors)), "<part>": list(schema.PARTS)}
    leaves: list[tuple[str, ...]] = []
    for row in checked.rows():
        if any(step.endswith(schema.LISTED) for step in row.key):
            continue
        placeholder = next((step for step in row.key if step in names), "")
        leaves += [
            tuple(name if step == placeholder else step for step in row.key)
            for name in names.get(placeholder, [""])
        ]
    return leaves


def _apply_credentials(document: Document, environment: Mapping[str, str]) -> None:
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return
    for name, key in _CREDENTIALS.items():
        path = Path(folder, name)
        if not path.is_file():
            continue
        try:
            secret = values.read_secret(path)
        except ValueError as error:
            document.mistakes.append(Mistake(str(path), "", f"holds no secret: {error}"))
        else:
            source.override(document, key, secret, f"credential {path}")


def _mistake(document: Document, invalid: vol.Invalid) -> Mistake:
    place: Place = tuple(_step(step) for step in invalid.path)
    return Mistake(document.where(place), source.dotted(place), invalid.error_message)


def _step(step: object) -> str | int:
    # voluptuous puts the marker itself into the path of a key that is missing.
    return step if isinstance(step, (str, int)) else str(step)


def _in_order(mistake: Mistake) -> tuple[str, int]:
    file, _, line = mistake.where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (mistake.where, 0)
