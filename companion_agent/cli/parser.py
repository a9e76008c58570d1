"""The command line: every command with its options, and nothing of what the commands import."""

from __future__ import annotations

import argparse
from pathlib import Path

from companion_agent import __version__


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(
        prog="pilot-agent",
        description="Reports this computer to Home Assistant over MQTT.",
        epilog="Configuration: docs/configuration.md, or `pilot-agent config check`.",
    )
    top.add_argument("--version", action="version", version=f"pilot-agent {__version__}")
    top.set_defaults(usage=top.print_help, refuse=top.error)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command")

    run = _add(commands, "run", "report this computer until stopped")
    _add_config(run)

    read = _add(commands, "read", "show all readings of this computer; needs no broker")
    read.add_argument("--json", action="store_true", help="print JSON instead of a table")
    read.add_argument("collector", nargs="*", help="only these collectors")

    doctor = _add(commands, "doctor", "find out what works here, and why the rest does not")
    doctor.add_argument("--json", action="store_true", help="print JSON instead of a table")
    _add_config(doctor)

    pair = _add(commands, "pair", "show a code that lets a Home Assistant command this computer")
    pair.add_argument("--no-qr", action="store_true", help="draw no QR code")
    pair.add_argument(
        "--json", action="store_true", help="print lines of JSON, for a program that shows the code"
    )
    _add_config(pair)
    pairs = pair.add_subparsers(title="commands", metavar="COMMAND", dest="action")
    listing = _add(pairs, "list", "show which Home Assistants may command it")
    _add_config(listing)
    revoke = _add(pairs, "revoke", "take that right from a Home Assistant")
    chosen = revoke.add_mutually_exclusive_group(required=True)
    chosen.add_argument("controller", nargs="*", default=[], help="its name or id, as listed")
    chosen.add_argument("--all", action="store_true", help="take it from all of them")
    _add_config(revoke)

    reload = _add(commands, "reload", "have the running agent read its configuration again")
    _add_config(reload)

    _add_setup(commands)
    _add_migrate(commands)
    _add_update(commands)
    _add_service(commands)

    session = _add(commands, "session", "do for the agent what needs this user's desktop")
    session.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="the agent's runtime folder, where not usual"
    )
    session.add_argument(
        "--once", action="store_true", help="on Windows: do not start it again when it fails"
    )

    config = _add(commands, "config", "check or show the configuration, or say what it can hold")
    actions = config.add_subparsers(title="commands", metavar="COMMAND", dest="action")
    check = _add(actions, "check", 'say "ok", or everything that is wrong')
    _add_config(check)
    show = _add(actions, "show", "show the configuration as the agent sees it")
    _add_config(show)
    _add(actions, "schema", "print the JSON Schema of the configuration, for editors")

    tuning = _add(commands, "tuning", "show what Home Assistant has changed of this host's sensors")
    _add_config(tuning)
    changes = tuning.add_subparsers(title="commands", metavar="COMMAND", dest="action")
    reset = _add(changes, "reset", "let sensors be as the configuration says again")
    which = reset.add_mutually_exclusive_group(required=True)
    which.add_argument("sensor", nargs="*", default=[], help="its id, as listed")
    which.add_argument("--all", action="store_true", help="all of them")
    _add_config(reset)

    settings = _add(commands, "settings", "show what Home Assistant has set of the configuration")
    _add_config(settings)
    changes = settings.add_subparsers(title="commands", metavar="COMMAND", dest="action")
    reset = _add(changes, "reset", "take back what Home Assistant has set")
    which = reset.add_mutually_exclusive_group(required=True)
    which.add_argument("key", nargs="*", default=[], help="the key, as listed")
    which.add_argument("--all", action="store_true", help="all of them")
    _add_config(reset)

    identity = _add(commands, "id", "show the id that this host is known by")
    identity.add_argument(
        "--new", action="store_true", help="draw a new one, for a disk that was cloned"
    )
    _add_config(identity)

    completion = _add(commands, "completion", "print a completion script for a shell")
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    return top


def _add_setup(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    setup = _add(commands, "setup", "find the broker, write the configuration, start the service")
    _add_config(setup)
    broker = setup.add_argument_group("broker", "what is left out is looked for, or asked")
    broker.add_argument(
        "--broker", metavar="ADDRESS", help="HOST, HOST:PORT, mqtts://HOST or wss://HOST/PATH"
    )
    broker.add_argument("--username", metavar="NAME", help="the login")
    broker.add_argument("--password-file", metavar="FILE", help="its password; - reads the input")
    broker.add_argument("--tls", action="store_true", help="encrypt")
    for name, text in (
        ("--ca-cert", "trust only this authority (PEM)"),
        ("--client-cert", "the agent's own certificate (PEM)"),
        ("--client-key", "its key (PEM)"),
    ):
        broker.add_argument(name, type=Path, metavar="FILE", help=text)
    broker.add_argument(
        "--untested", action="store_true", help="go on although the broker does not answer"
    )
    setup.add_argument("--name", help="what this host is shown as (default: its host name)")
    setup.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="YAML whose top-level keys replace those of the configuration",
    )
    setup.add_argument(
        "--fleet-key-file",
        type=Path,
        metavar="FILE",
        help="trust every Home Assistant that has the key in this file",
    )
    setup.add_argument(
        "--check", action="store_true", help="ask and change nothing; say what would be changed"
    )
    setup.add_argument("--yes", action="store_true", help="ask nothing; take what is found")
    setup.add_argument(
        "--no-service", action="store_true", help="only write the configuration, for this user"
    )
    setup.add_argument(
        "--pair", action=argparse.BooleanOptionalAction, help="show a code for Home Assistant"
    )
    setup.add_argument("--remove", action="store_true", help="stop and remove the service")
    setup.add_argument(
        "--purge",
        action=argparse.BooleanOptionalAction,
        help="with --remove: delete configuration, keys and history, or keep them (default: ask)",
    )


def _add_migrate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    migrate = _add(commands, "migrate", "write a configuration from one of Pilot's first version")
    migrate.add_argument("file", nargs="?", type=Path, help="its environment or YAML file")
    migrate.add_argument(
        "--output", type=Path, metavar="FILE", help="what to write (default: where it is usual)"
    )
    migrate.add_argument("--device", default="", help="what this host was called in its topics")
    migrate.add_argument(
        "--old-service",
        default="",
        metavar="NAME",
        help="switch its systemd service off, once this version's runs",
    )
    migrate.add_argument("--dry-run", action="store_true", help="show it, and change nothing")
    migrate.add_argument("--yes", action="store_true", help="do not ask before writing")
    migrate.add_argument("--undo", action="store_true", help="put back what was there before")


def _add_update(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    update = _add(commands, "update", "install the newest version of the agent")
    _add_config(update)
    wanted = update.add_mutually_exclusive_group()
    wanted.add_argument("--check", action="store_true", help="only show what there is")
    wanted.add_argument("--to", metavar="VERSION", help="this version, also an older one")
    wanted.add_argument("--back", action="store_true", help="the version before this one")


def _add_service(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    service = _add(commands, "service", "make the agent a service of Windows, or look after that")
    actions = service.add_subparsers(title="commands", metavar="COMMAND", dest="action")
    install = _add(actions, "install", "make the service, or bring it up to date")
    _add_config(install)
    _add_state_dir(install)
    install.add_argument("--start", action="store_true", help="start it too")
    remove = _add(actions, "remove", "stop and remove the service")
    _add_config(remove)
    _add_state_dir(remove)
    remove.add_argument(
        "--purge", action="store_true", help="delete configuration, keys and history too"
    )
    _add(actions, "start", "start the service")
    _add(actions, "stop", "stop the service")
    status = _add(actions, "status", "show how the service is")
    status.add_argument("--json", action="store_true", help="print JSON instead of text")
    # What Windows starts: without a help text it is not listed.
    run = actions.add_parser("run")
    _add_config(run)
    _add_state_dir(run)


def _add_state_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--state-dir",
        type=Path,
        metavar="FOLDER",
        help="the state folder (default: as configured, or where it is usual)",
    )


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    added.set_defaults(usage=added.print_help, refuse=added.error)
    return added


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration file (default: where it is usual)",
    )
