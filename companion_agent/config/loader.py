"""Finds the configuration, reads it, checks it as a whole, and hands it over as frozen values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import voluptuous as vol

from companion_agent.config.document import Document, read_bytes, read_file
from companion_agent.config.environment import apply_credentials, apply_environment, secret_files
from companion_agent.config.errors import ConfigError, Mistake
from companion_agent.config.known import known_collectors
from companion_agent.config.origins import dotted
from companion_agent.config.overlay import Overlay, OverlayError
from companion_agent.config.places import base_of, default_state_dir, find_file, search_path
from companion_agent.config.settings import Config
from companion_agent.config.validators import Context, build
from companion_agent.fields import all_keys, construct

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from companion_agent.config.origins import Place
    from companion_agent.plugins.base import Collector


def load(
    explicit: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    collectors: Mapping[str, type[Collector]] | None = None,
    *,
    needs_broker: bool = True,
    overlay: Overlay | None = None,
) -> Config:
    """Read the configuration file and the environment, and what Home Assistant has set besides.

    Args:
        explicit: The file that the command line names.
        environment: The environment.
        collectors: The collectors that there are; all of them when `None`.
        needs_broker: Whether a configuration that names no broker is wrong.
        overlay: What Home Assistant has set; what is kept in the state folder when `None`.

    Raises:
        ConfigError: Anything is wrong; it names everything that is. Mistakes of the overlay are
            not among them: what is wrong there does not count, and the configuration says so.
    """
    path = find_file(explicit, environment)
    document = read_file(path) if path else Document()
    if document.mistakes and not document.tree:
        # What the rest should be cannot be said of a file that cannot be read.
        raise ConfigError(document.mistakes)
    base = base_of(path)
    known = known_collectors(collectors)
    apply_credentials(document, environment)
    keys = all_keys(Config, {"collector": list(known)})
    apply_environment(document, environment, [key.path for key in keys])
    if not needs_broker:
        document.tree.setdefault("broker", "localhost")
    context = Context(base, known)
    values = _validate(document, context, environment, path)
    secrets = secret_files(document, path, base)
    wrong: list[Mistake] = []
    if overlay is None:
        try:
            overlay = Overlay.read(values["state_dir"])
        except OverlayError as error:
            overlay = Overlay()
            wrong = [Mistake("", "", str(error))]
    if overlay.values:
        wrong += overlay.put_below(document, known)
        values, invalid = _validate_overlay(document, overlay, context, environment)
        wrong += invalid
    config: Config = construct(
        Config,
        values,
        path=path,
        secret_files=secrets,
        origins=document.origins(),
        overlay_mistakes=tuple(wrong),
    )
    return config


def find_mistakes(data: bytes, name: str, base: Path) -> tuple[Mistake, ...]:
    """Return what is wrong with keys that a configuration is to have besides its own.

    Args:
        data: The keys, as a file holds them; they need not name a broker.
        name: What that file is called.
        base: The configuration's folder, where relative paths will start.
    """
    document = read_bytes(data, name)
    if document.mistakes and not document.tree:
        return tuple(document.mistakes)
    # What the configuration itself says of them does not matter here.
    for key, value in {"broker": "localhost", "state_dir": str(base)}.items():
        document.tree.setdefault(key, value)
    try:
        _validate(document, Context(base, known_collectors()), {}, base)
    except ConfigError as error:
        return error.mistakes
    return ()


def _validate_overlay(
    document: Document, overlay: Overlay, context: Context, environment: Mapping[str, str]
) -> tuple[dict[str, Any], list[Mistake]]:
    """Return the values with an overlay, and what of it is wrong and does not count.

    What the overlay was put below has been found right.
    """
    try:
        return _validate(document, context, environment, None), []
    except ConfigError as error:
        wrong = error.mistakes
        overlay.take_out(document, [mistake.key for mistake in wrong])
        return _validate(document, context, environment, None), list(wrong)


def _validate(
    document: Document, context: Context, environment: Mapping[str, str], path: Path | None
) -> dict[str, Any]:
    mistakes = list(document.mistakes)
    values: dict[str, Any] = {}
    try:
        values = build(context)(document.tree)
    except vol.MultipleInvalid as error:
        mistakes += [_mistake(document, invalid) for invalid in error.errors]
    if path is None and "broker" not in document.tree:
        looked = ", ".join(str(place) for place in search_path(environment))
        mistakes = [mistake for mistake in mistakes if mistake.key != "broker"]
        problem = (
            f"there is no configuration; looked for {looked}. "
            "Write one with the line `broker: HOST`, or set PILOT_BROKER"
        )
        mistakes.insert(0, Mistake("", "", problem))
    if "state_dir" not in document.tree:
        try:
            values["state_dir"] = default_state_dir(environment)
        except ConfigError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigError(sorted(mistakes, key=_in_order))
    return values


def _mistake(document: Document, invalid: vol.Invalid) -> Mistake:
    place: Place = tuple(_step(step) for step in invalid.path)
    return Mistake(document.where(place), dotted(place), invalid.error_message)


def _step(step: object) -> str | int:
    # voluptuous puts the marker itself into the path of a key that is missing.
    return step if isinstance(step, (str, int)) else str(step)


def _in_order(mistake: Mistake) -> tuple[str, int]:
    file, _, line = mistake.where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (mistake.where, 0)
