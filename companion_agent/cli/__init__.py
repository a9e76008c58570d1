"""The command line: `pilot-agent run | read | doctor | pair | setup | migrate | …`."""

from __future__ import annotations

import argparse
import os
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

    _add_setup(commands)
    _add_migrate(commands)
    _add_update(commands)

    config = _add(commands, "config", lambda _: _usage(config), "check or show the configuration")
    actions = config.add_subparsers(title="commands", metavar="COMMAND")
    check = _add(actions, "check", _config_check, 'say "ok", or everything that is wrong')
    _add_config(check)
    show = _add(actions, "show", _config_show, "show the configuration as the agent sees it")
    _add_config(show)

    tuning = _add(
        commands, "tuning", _tuning, "show what Home Assistant has changed of this host's sensors"
    )
    _add_config(tuning)
    changes = tuning.add_subparsers(title="commands", metavar="COMMAND")
    reset = _add(changes, "reset", _tuning_reset, "let sensors be as the configuration says again")
    which = reset.add_mutually_exclusive_group(required=True)
    which.add_argument("sensor", nargs="*", default=[], help="its id, as listed")
    which.add_argument("--all", action="store_true", help="all of them")
    _add_config(reset)

    identity = _add(commands, "id", _id, "show the id that this host is known by")
    identity.add_argument(
        "--new", action="store_true", help="draw a new one, for a disk that was cloned"
    )
    _add_config(identity)

    completion = _add(commands, "completion", _completion, "print a completion script for a shell")
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    return top


def _add_setup(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    setup = _add(
        commands, "setup", _setup, "find the broker, write the configuration, start the service"
    )
    _add_config(setup)
    broker = setup.add_argument_group("broker", "what is left out is looked for, or asked")
    broker.add_argument("--broker", metavar="ADDRESS", help="HOST, HOST:PORT or mqtts://HOST")
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
        "--fleet-key-file", type=Path, metavar="FILE", help="trust whoever has the key in this file"
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
    migrate = _add(
        commands, "migrate", _migrate, "write a configuration from one of Pilot's first version"
    )
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
    update = _add(commands, "update", _update, "install the newest version of the agent")
    _add_config(update)
    wanted = update.add_mutually_exclusive_group()
    wanted.add_argument("--check", action="store_true", help="only show what there is")
    wanted.add_argument("--to", metavar="VERSION", help="this version, also an older one")
    wanted.add_argument("--back", action="store_true", help="the version before this one")


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
    from companion_agent.service.sd_notify import Notifier
    from companion_agent.updates import launcher

    launched = launcher.launch(parsed.config)
    config = _load(parsed)
    if config is None:
        Notifier().status("The configuration has mistakes: pilot-agent config check")
        return BAD_INPUT
    from companion_agent import identity, logs
    from companion_agent.cli import run

    logs.set_up(config.log)
    try:
        another = run.run(config, launched)
    except identity.IdentityError as error:
        Notifier().status(str(error))
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL
    if another:
        os.execv(launched.command[0], launched.command)  # noqa: S606  (no shell is wanted)
    return OK


def _read(parsed: argparse.Namespace) -> int:
    from companion_agent.cli import read

    return read.read(parsed.collector, as_json=parsed.json)


def _doctor(parsed: argparse.Namespace) -> int:
    from companion_agent.cli import doctor

    return doctor.doctor(parsed.config, as_json=parsed.json)


def _pair(parsed: argparse.Namespace) -> int:
    config = _load(parsed)
    if config is None:
        return BAD_INPUT
    from companion_agent.cli import pair

    return pair.pair(config.state_dir, qr=not parsed.no_qr)


def _pair_list(parsed: argparse.Namespace) -> int:
    config = _load(parsed, needs_broker=False)
    if config is None:
        return BAD_INPUT
    from companion_agent.cli import pair

    return pair.show(config.state_dir)


def _pair_revoke(parsed: argparse.Namespace) -> int:
    config = _load(parsed, needs_broker=False)
    if config is None:
        return BAD_INPUT
    from companion_agent.cli import pair

    return pair.revoke(config.state_dir, parsed.controller, everybody=parsed.all)


def _setup(parsed: argparse.Namespace) -> int:
    import platform

    if platform.system() != "Linux":
        print("pilot-agent: setup knows Linux only; see docs/deployment.md", file=sys.stderr)
        return NOT_WELL
    from companion_agent.cli.setup import prompts, run

    quiet = parsed.yes or parsed.check
    asker = prompts.Asker(interactive=not quiet and prompts.somebody_there())
    if parsed.remove:
        return run.remove(asker, purge=parsed.purge, check=parsed.check)
    wishes = run.Wishes(
        config=parsed.config,
        broker=parsed.broker or "",
        username=parsed.username or "",
        password_file=parsed.password_file or "",
        tls=parsed.tls,
        ca_cert=parsed.ca_cert,
        client_cert=parsed.client_cert,
        client_key=parsed.client_key,
        name=parsed.name or "",
        settings=parsed.settings,
        fleet_key_file=parsed.fleet_key_file,
        check=parsed.check,
        untested=parsed.untested,
        service=not parsed.no_service,
        pair=parsed.pair,
    )
    return run.setup(wishes, asker)


def _migrate(parsed: argparse.Namespace) -> int:
    import platform

    if platform.system() != "Linux":
        print("pilot-agent: migrate knows Linux only; see docs/deployment.md", file=sys.stderr)
        return NOT_WELL
    if not parsed.undo and not parsed.file and not parsed.old_service:
        print("pilot-agent: name v1's file, --old-service or --undo; see --help", file=sys.stderr)
        return BAD_INPUT
    from companion_agent.cli.migrate import run
    from companion_agent.cli.setup import prompts

    wishes = run.Wishes(
        old=parsed.file,
        output=parsed.output,
        device=parsed.device,
        old_service=parsed.old_service,
        dry_run=parsed.dry_run,
        yes=parsed.yes,
    )
    asker = prompts.Asker(interactive=not parsed.yes and prompts.somebody_there())
    return run.undo(wishes, asker) if parsed.undo else run.migrate(wishes, asker)


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
    from companion_agent.plugins.i2c.overrides import TunedError, peek

    print(show(config), end="")
    try:
        changes = peek(config.state_dir)
    except TunedError as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL
    if changes:
        print("# Changed from Home Assistant since, and in force (see pilot-agent tuning):")
    for sensor, change in changes.items():
        print(f"#   {sensor}: {change}")
    return OK


def _tuning(parsed: argparse.Namespace) -> int:
    config = _load(parsed, needs_broker=False)
    if config is None:
        return BAD_INPUT
    from companion_agent.plugins.i2c.overrides import TunedError, peek

    try:
        changes = peek(config.state_dir)
    except TunedError as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL
    for sensor, change in changes.items():
        print(f"{sensor}: {change}")
    if not changes:
        print("all sensors are as the configuration says")
    return OK


def _tuning_reset(parsed: argparse.Namespace) -> int:
    config = _load(parsed, needs_broker=False)
    if config is None:
        return BAD_INPUT
    from companion_agent.plugins.i2c.overrides import Tuned, TunedError, peek

    try:
        changes = peek(config.state_dir)
        chosen = list(changes) if parsed.all else parsed.sensor
        if unknown := [sensor for sensor in chosen if sensor not in changes]:
            changed = ", ".join(changes) or "none"
            print(
                f"pilot-agent: {unknown[0]} is as the configuration says; changed are {changed}",
                file=sys.stderr,
            )
            return BAD_INPUT
        tuned = Tuned(config.state_dir)
        for sensor in chosen:
            tuned.remove(sensor)
            print(f"{sensor} is as the configuration says again, at its next reading")
    except TunedError as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL
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


def _update(parsed: argparse.Namespace) -> int:
    config = _load(parsed, needs_broker=False)
    if config is None:
        return BAD_INPUT
    from companion_agent.cli import update

    if parsed.check:
        return update.show(config.state_dir)
    if parsed.back:
        return update.back(config.state_dir, config.update.trial)
    return update.install(config.state_dir, parsed.to or "", config.update.trial)


def _completion(parsed: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(parser(), parsed.shell))
    return OK
