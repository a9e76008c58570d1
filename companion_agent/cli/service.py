"""`pilot-agent service`: the agent as a service of Windows."""

from __future__ import annotations

from functools import partial
import json
import logging
import os
import sys
from typing import TYPE_CHECKING

from companion_agent.cli.exit_codes import BAD_INPUT, NOT_WELL, OK
from companion_agent.service.changes import ServiceError, describe
from companion_agent.storage.permissions import SERVICE

if TYPE_CHECKING:
    import argparse

    from companion_agent.service.windows import Places, ServiceStatus
    from companion_agent.service.windows_host import ServiceHost

_ELSEWHERE = (
    "`service` is about services of Windows; here `sudo pilot-agent setup` makes one of systemd's, "
    "and `systemctl status pilot-agent` shows it"
)


def main(parsed: argparse.Namespace) -> int:
    """Install, remove, start, stop or show the service, or be it."""
    if sys.platform != "win32":
        print(f"pilot-agent: {_ELSEWHERE}", file=sys.stderr)
        return NOT_WELL
    else:  # noqa: RET505  (mypy leaves out only what is inside)
        if parsed.action is None:
            parsed.usage(sys.stderr)
            return BAD_INPUT
        try:
            return _ACTIONS[parsed.action](parsed)
        except ServiceError as error:
            print(f"pilot-agent: {error}", file=sys.stderr)
            return NOT_WELL


def _install(parsed: argparse.Namespace) -> int:
    from companion_agent.service.windows import WindowsService, this_program, usual_places

    service = WindowsService()
    places = _places(parsed, usual_places())
    service.install(this_program(), places)
    if parsed.start:
        service.start(restart=bool(service.changes))
    print(describe(service.changes))
    if service.unknown:
        print(
            f"This Windows does not know, so the service is without: {', '.join(service.unknown)}."
        )
    if not places.config.exists():
        print(f"Next: `pilot-agent setup` writes {places.config}.")
    return OK


def _places(parsed: argparse.Namespace, usual: Places) -> Places:
    """Return where the files are: as the command line says, else the configuration."""
    from companion_agent.config import ConfigError, load
    from companion_agent.service.windows import Places

    config = parsed.config.absolute() if parsed.config else usual.config
    state = usual.state
    if config.exists():
        try:
            # Not as this terminal's environment would have it.
            state = load(config, {}, needs_broker=False).state_dir
        except ConfigError as error:
            for mistake in error.mistakes:
                print(mistake, file=sys.stderr)
    if parsed.state_dir:
        given = parsed.state_dir.absolute()
        if given not in {state, usual.state}:
            print(
                f"Note: also write `state_dir: {given}` into {config}, so that `pilot-agent pair` "
                "and others find it."
            )
        state = given
    return Places(config, state)


def _remove(parsed: argparse.Namespace) -> int:
    from companion_agent.service.windows import WindowsService, usual_places

    service = WindowsService()
    places = _places(parsed, usual_places())
    service.remove()
    if parsed.purge:
        # The folder above them is shared with nothing else, where they are in the usual place.
        usual = usual_places()
        own = places.config.parent == usual.config.parent
        service.purge(places.state, usual.config.parent if own else places.config)
    else:
        print(f"Kept: {places.config.parent} and {places.state}.")
    print(describe(service.changes))
    return OK


def _start(_: argparse.Namespace) -> int:
    from companion_agent.service.windows import WindowsService

    service = WindowsService()
    service.start()
    print(describe(service.changes))
    return OK


def _stop(_: argparse.Namespace) -> int:
    from companion_agent.service.windows import WindowsService

    service = WindowsService()
    service.stop()
    print(describe(service.changes))
    return OK


def _status(parsed: argparse.Namespace) -> int:
    from companion_agent.service.windows import WindowsService

    status = WindowsService().status()
    if parsed.json:
        print(json.dumps(status._asdict(), ensure_ascii=False, indent=2))
    else:
        print(_told(status))
    return OK if status.state == "running" else NOT_WELL


def _told(status: ServiceStatus) -> str:
    if status.state == "absent":
        return "The service is not installed: pilot-agent service install"
    lines = [f"The service is {status.state}" + (f", process {status.pid}" if status.pid else "")]
    if status.exit_code and not status.pid:
        lines.append(f"It ended with exit code {status.exit_code}")
    lines.append(f"Start: {status.start}, as {status.account}")
    lines.append(f"Command: {status.command}")
    return "\n".join(lines)


def _run(parsed: argparse.Namespace) -> int:
    """Be the service: what Windows starts."""
    # Nothing more before the service manager has heard of this process: while a computer boots,
    # that costs seconds, and its patience has an end.
    from companion_agent.platforms.windows.service_controls import controls
    from companion_agent.service.windows_host import ServiceHost
    from companion_agent.winapi import services

    host = ServiceHost(SERVICE, _ask_to_end, controls)
    try:
        return host.run(partial(_report, parsed, host))
    except OSError as error:
        if getattr(error, "winerror", 0) != services.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT:
            raise
        raise ServiceError(
            "Windows' service manager starts this: pilot-agent service start "
            "(or `pilot-agent run`, to run the agent in this terminal)"
        ) from None


def _ask_to_end() -> None:
    from companion_agent.signals import end_request

    end_request.ask()


def _report(parsed: argparse.Namespace, host: ServiceHost) -> int:
    """Do the service's work."""
    from companion_agent import logs
    from companion_agent.cli.run import report
    from companion_agent.service.event_log import EventLogHandler
    from companion_agent.service.sd_notify import Notifier
    from companion_agent.winapi.event_log import Source

    logger = logging.getLogger(f"{logs.ROOT}.service")
    try:
        logs.also(EventLogHandler(Source(SERVICE)))
    except OSError as error:
        logger.warning("Windows' event log cannot be written: %s", error)
    if parsed.state_dir:
        # As systemd names the folder that is used unless the configuration says another one.
        os.environ["STATE_DIRECTORY"] = str(parsed.state_dir)
    try:
        return report(parsed.config, partial(Notifier, channel=host))
    except Exception:
        logger.critical("The agent has failed", exc_info=True)
        raise


_ACTIONS = {
    "install": _install,
    "remove": _remove,
    "start": _start,
    "stop": _stop,
    "status": _status,
    "run": _run,
}
