"""The command line: `pilot-agent run | read | doctor | pair | config | id | completion`."""

from __future__ import annotations

import argparse
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from companion_agent import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from companion_agent.config import Config

# What a shell script can tell apart.
OK = 0
NOT_WELL = 1
BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 done, 1 something does not work, 2 the input was wrong.
    """
    parsed = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.command
    try:
        return command(parsed)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `pilot-agent read | head`: whoever read has seen enough.
        sys.stderr.close()
        return OK


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(
        prog="pilot-agent",
        description="Reports this computer to Home Assistant over MQTT.",
        epilog="Configuration: docs/configuration.md, or `pilot-agent config check`.",
    )
    top.add_argument("--version", action="version", version=f"pilot-agent {__version__}")
    top.set_defaults(command=lambda _: _usage(top))
    commands = top.add_subparsers(title="commands", metavar="COMMAND")

    run = _add(commands, "run", _run, "report this computer until stopped")
    _add_config(run)

    read = _add(commands, "read", _read, "show all readings of this computer; needs no broker")
    read.add_argument("--json", action="store_true", help="print JSON instead of a table")
    read.add_argument("collector", nargs="*", help="only these collectors")

    doctor = _add(
        commands, "doctor", _doctor, "find out what works here, and why the rest does not"
    )
    doctor.add_argument("--json", action="store_true", help="print JSON instead of a table")
    _add_config(doctor)

    pair = _add(
        commands, "pair", _pair, "show a code that lets a Home Assistant command this computer"
    )
    pair.add_argument("--no-qr", action="store_true", help="draw no QR code")
    _add_config(pair)
    pairs = pair.add_subparsers(title="commands", metavar="COMMAND")
    listing = _add(pairs, "list", _pair_list, "show which Home Assistants may command it")
    _add_config(listing)
    revoke = _add(pairs, "revoke", _pair_revoke, "take that right from a Home Assistant")
    chosen = revoke.add_mutually_exclusive_group(required=True)
    chosen.add_argument("controller", nargs="*", default=[], help="its name or id, as listed")
    chosen.add_argument("--all", action="store_true", help="take it from all of them")
    _add_config(revoke)

    config = _add(commands, "config", lambda _: _usage(config), "check or show the configuration")
    actions = config.add_subparsers(title="commands", metavar="COMMAND")
    check = _add(actions, "check", _config_check, 'say "ok", or everything that is wrong')
    _add_config(check)
    show = _add(actions, "show", _config_show, "show the configuration as the agent sees it")
    _add_config(show)

    identity = _add(commands, "id", _id, "show the id that this host is known by")
    identity.add_argument(
        "--new", action="store_true", help="draw a new one, for a disk that was cloned"
    )
    _add_config(identity)

    completion = _add(commands, "completion", _completion, "print a completion script for a shell")
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    return top


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    added.set_defaults(command=command)
    return added


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration file (default: where it is usual)",
    )


def _usage(used: argparse.ArgumentParser) -> int:
    used.print_help(sys.stderr)
    return BAD_INPUT


def _load(parsed: argparse.Namespace, *, needs_broker: bool = True) -> Config | None:
    from companion_agent.config import ConfigError, load

    try:
        return load(parsed.config, needs_broker=needs_broker)
    except ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        return None


def _run(parsed: argparse.Namespace) -> int:
    config = _load(parsed)
    if config is None:
        return BAD_INPUT
    from companion_agent import identity, logs, run

    logs.set_up(config.log)
    try:
        run.run(config)
    except identity.IdentityError as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL
    return OK


def _read(parsed: argparse.Namespace) -> int:
    from companion_agent import read

    return read.read(parsed.collector, as_json=parsed.json)


def _doctor(parsed: argparse.Namespace) -> int:
    from companion_agent import doctor

    return doctor.doctor(parsed.config, as_json=parsed.json)


def _pair(parsed: argparse.Namespace) -> int:
    config = _load(parsed)
    if config is None:
        return BAD_INPUT
    from companion_agent.trust import console

    return console.pair(config.state_dir, qr=not parsed.no_qr)


def _pair_list(parsed: argparse.Namespace) -> int:
    config = _load(parsed, needs_broker=False)
    if config is None:
        return BAD_INPUT
    from companion_agent.trust import console

    return console.show(config.state_dir)


def _pair_revoke(parsed: argparse.Namespace) -> int:
    config = _load(parsed, needs_broker=False)
    if config is None:
        return BAD_INPUT
    from companion_agent.trust import console

    return console.revoke(config.state_dir, parsed.controller, everybody=parsed.all)


def _config_check(parsed: argparse.Namespace) -> int:
    if _load(parsed) is None:
        return BAD_INPUT
    print("ok")
    return OK


def _config_show(parsed: argparse.Namespace) -> int:
    config = _load(parsed)
    if config is None:
        return BAD_INPUT
    from companion_agent.config.show import show

    print(show(config), end="")
    return OK


def _id(parsed: argparse.Namespace) -> int:
    config = _load(parsed, needs_broker=False)
    if config is None:
        return BAD_INPUT
    from companion_agent import identity, platforms

    try:
        if parsed.new:
            with identity.only_agent(config.state_dir):
                print(identity.new_host_id(config.state_dir))
        else:
            print(identity.host_id(config.state_dir, platforms.current()))
    except identity.IdentityError as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL
    return OK


def _completion(parsed: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(parser(), parsed.shell))
    return OK
