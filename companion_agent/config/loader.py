"""Finds the configuration, reads it, checks it as a whole, and hands it over as frozen values."""

from __future__ import annotations

import os
from pathlib import Path
import sys
from typing import TYPE_CHECKING, Any, Literal

import voluptuous as vol

from companion_agent.config.document import Document, dotted, read_file
from companion_agent.config.environment import apply_credentials, apply_environment, secret_files
from companion_agent.config.errors import ConfigError, Mistake
from companion_agent.config.overlay import Overlay, OverlayError
from companion_agent.config.settings import Config
from companion_agent.config.validators import Context, Known, build
from companion_agent.fields import all_keys, construct
from companion_agent.storage.plain import is_there

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from companion_agent.config.origins import Place
    from companion_agent.plugins.base import Collector

APP = "pilot-agent"


def search_path(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """List where a configuration is looked for, first one first."""
    if named := environment.get("PILOT_CONFIG"):
        return [Path(named)]
    users = [folder / "config.yaml" for folder in _user_folder("config")]
    if sys.platform == "win32":
        return [*users, _programs_data() / "config.yaml"]
    else:  # noqa: RET505  (mypy leaves out only what is inside)
        return [Path("/etc", APP, "config.yaml"), *users]


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
    return next((path for path in search_path(environment) if is_there(path)), None)


def base_of(file: Path | None) -> Path:
    """Return where relative paths start: the configuration's folder, else where the command runs.

    That folder may have been removed since; then they stay relative, and lead nowhere.
    """
    try:
        return file.absolute().parent if file else Path.cwd()
    except FileNotFoundError:
        return Path()


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
    if path is None and any(mistake.key == "broker" for mistake in mistakes):
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


def default_state_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the agent keeps what it must remember, unless configured.

    Raises:
        ConfigError: There is no usual place: this user has no home folder.
    """
    if given := environment.get("STATE_DIRECTORY"):  # systemd's StateDirectory=
        return Path(given.split(os.pathsep)[0])
    if sys.platform == "win32":
        return _programs_data() / "state"
    else:  # noqa: RET505  (mypy leaves out only what is inside)
        if os.geteuid() == 0:
            return Path("/var/lib", APP)
        for folder in _user_folder("state"):
            return folder
        problem = "is needed: this user has no home folder; set it, PILOT_STATE_DIR or HOME"
        raise ConfigError([Mistake("", "state_dir", problem)])


def _programs_data() -> Path:
    """Return the agent's folder for all users of a Windows, whatever the environment says."""
    from companion_agent.winapi import folders  # noqa: PLC0415  (of no use on other systems)

    return folders.known(folders.PROGRAM_DATA) / APP


def _user_folder(purpose: Literal["config", "state"]) -> Iterator[Path]:
    """Yield the user's folder; nothing where there is no home (a user id without an entry)."""
    import platformdirs  # noqa: PLC0415  (not needed by services, nor when a file is named)

    find = {"config": platformdirs.user_config_path, "state": platformdirs.user_state_path}
    try:
        folder = find[purpose](APP, appauthor=False)
    except RuntimeError:
        return
    # Before 4.3 an unknown home stays a "~".
    if folder.is_absolute():
        yield folder


def known_collectors(collectors: Mapping[str, type[Collector]] | None = None) -> dict[str, Known]:
    """Return what collectors are to the configuration; all that there are when `None`."""
    if collectors is None:
        from companion_agent.plugins import registry  # noqa: PLC0415  (tests bring their own)

        collectors = registry.collectors()
    return {
        name: Known(collector.interval, collector.selects) for name, collector in collectors.items()
    }


def _mistake(document: Document, invalid: vol.Invalid) -> Mistake:
    place: Place = tuple(_step(step) for step in invalid.path)
    return Mistake(document.where(place), dotted(place), invalid.error_message)


def _step(step: object) -> str | int:
    # voluptuous puts the marker itself into the path of a key that is missing.
    return step if isinstance(step, (str, int)) else str(step)


def _in_order(mistake: Mistake) -> tuple[str, int]:
    file, _, line = mistake.where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (mistake.where, 0)
