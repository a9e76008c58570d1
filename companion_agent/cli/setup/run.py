"""The conversation: broker, configuration, service, pairing; and the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
import os
from pathlib import Path
import sys
import time
from typing import TYPE_CHECKING, Any

import voluptuous as vol

from companion_agent.cli.setup import discovery, probe
from companion_agent.cli.setup.prompts import Asker, NotInteractiveError
from companion_agent.cli.setup.writer import WriteError, foresee, read_settings, write
from companion_agent.config import Broker, Config, ConfigError, Tls, load
from companion_agent.config.broker_address import parse_broker
from companion_agent.config.settings import make_broker, usual_port
from companion_agent.fields import declared
from companion_agent.secret import Secret, without_login, without_port
from companion_agent.security.key_store import StoreError, TrustStore
from companion_agent.service.changes import ServiceError, describe
from companion_agent.values import Leaf, check_host, read_secret

if TYPE_CHECKING:
    from companion_agent.cli.setup.host import SetupHost
    from companion_agent.cli.setup.probe import Trial

OK = 0
NOT_WELL = 1
BAD_INPUT = 2

# From the start of the service to its first word from the broker.
_ONLINE_LIMIT = 20.0
_RETRY = "Enter to try again, another address, or “keep” to write it as it is"
_KEEP = "keep"


@dataclass(frozen=True, slots=True)
class SetupOptions:
    """What the command line says; what it leaves out is asked for or stays as it is.

    Attributes:
        config: The configuration file.
        broker: The broker's address.
        username: The login.
        password_file: The file that holds its password; `-` for the input.
        tls: Whether to encrypt.
        ca_cert: The authority to trust.
        client_cert: The agent's own certificate.
        client_key: Its key.
        name: What the host is shown as.
        settings: A file with more of the configuration.
        fleet_key_file: A file with the fleet key.
        check: Whether to say only what would be changed.
        untested: Whether to go on although the broker does not answer.
        service: Whether to install and start the service.
        pair: Whether to show a code; by default on a terminal while the host is not paired.
    """

    config: Path | None = None
    broker: str = ""
    username: str = ""
    password_file: str = ""
    tls: bool = False
    ca_cert: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    name: str = ""
    settings: Path | None = None
    fleet_key_file: Path | None = None
    check: bool = False
    untested: bool = False
    service: bool = True
    pair: bool | None = None


def setup(options: SetupOptions, asker: Asker, host: SetupHost) -> int:
    """Set this host up, as far as it is not.

    Args:
        options: What the command line says.
        asker: Asks for the rest.
        host: The system's part.

    Returns:
        The exit code.
    """
    try:
        return _Setup(options, asker, host).run()
    except (NotInteractiveError, WriteError, ServiceError) as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return BAD_INPUT if isinstance(error, NotInteractiveError) else NOT_WELL


class _Setup:
    def __init__(self, options: SetupOptions, asker: Asker, host: SetupHost) -> None:
        self._options = options
        self._asker = asker
        self._host = host
        self._files = host.files

    def run(self) -> int:
        self._host.look_first(self._asker)
        place = self._host.place(self._options.config)
        try:
            before = load(place.path, {}) if place.path.exists() else None
        except ConfigError as error:
            for mistake in error.mistakes:
                print(mistake, file=sys.stderr)
            print("Mend the configuration, or move it away; then call setup again.")
            return BAD_INPUT
        options = self._options
        try:
            _check_name(options.name)
            settings = read_settings(options.settings, options.fleet_key_file, place.folder)
            broker = self._wanted(before)
        except ConfigError as error:
            for mistake in error.mistakes:
                print(mistake, file=sys.stderr)
            return BAD_INPUT
        except ValueError as error:
            print(f"pilot-agent: {error}", file=sys.stderr)
            return BAD_INPUT
        tried, keep = self._try(broker, before)
        keep = keep or self._options.untested or self._options.check or _is(before, tried.broker)
        if tried.problems and not keep:
            print("Nothing was changed. --untested writes it all the same.", file=sys.stderr)
            return NOT_WELL
        self._host.prepare()
        settings = replace(settings, blocks={**self._host.blocks(before), **settings.blocks})
        written = write(self._files, place, before, tried.broker, self._options.name, settings)
        service = self._options.service
        if self._options.check:
            known = before or Config((tried.broker,), Path())
            foreseen = foresee(known, settings)
            if service:
                self._host.install(foreseen, written=written)
            print(describe(self._files.changes, check=True))
            return OK
        print(f"Configuration: {place.path}" + ("" if written else " (as it was)"))
        after = load(place.path, {})
        code = self._serve(after, written=written) if service else OK
        print(describe(self._files.changes))
        if service and code == OK:
            return self._pair(after)
        return code

    # --- The broker ----------------------------------------------------------------------

    def _wanted(self, before: Config | None) -> Broker:
        options = self._options
        broker = before.brokers[0] if before else None
        if options.broker:
            named = parse(options.broker)
            if broker is None or str(named) != str(broker):
                broker = named
        if broker is None:
            broker = parse(self._ask_address())
        if options.username:
            broker = replace(broker, username=options.username)
        if password := self._password():
            broker = replace(broker, password=password)
        if options.tls or options.ca_cert or options.client_cert or options.client_key:
            port = broker.port
            if broker.tls is None and port == usual_port(broker.transport, encrypted=False):
                port = usual_port(broker.transport, encrypted=True)
            broker = replace(broker, port=port, tls=self._tls(broker.tls or Tls()))
        return broker

    def _tls(self, tls: Tls) -> Tls:
        """Say which files are meant; those that were copied before are not new."""
        options = self._options
        given = {
            "ca_cert": options.ca_cert,
            "client_cert": options.client_cert,
            "client_key": options.client_key,
        }
        changed: dict[str, Any] = {}
        for key, path in given.items():
            if path is None:
                continue
            kept: Path | None = getattr(tls, key)
            try:
                same = kept is not None and kept.read_bytes() == path.read_bytes()
            except OSError as error:
                raise ValueError(f"{error.filename} cannot be read: {error.strerror}") from error
            if not same:
                changed[key] = path.absolute()
        tls = replace(tls, **changed)
        if tls.client_key and not tls.client_cert:
            raise ValueError("--client-key is the key of a certificate; add --client-cert")
        return tls

    def _password(self) -> Secret[str]:
        given = self._options.password_file
        if given == "-":
            return Secret(sys.stdin.readline().rstrip("\r\n"))
        if given:
            try:
                return Secret(read_secret(Path(given), pipe=True))
            except ValueError as error:
                raise ValueError(f"{given}: {error}") from None
        return Secret(os.environ.get("PILOT_BROKER__PASSWORD", ""))

    def _ask_address(self) -> str:
        print("Looking for a broker …", flush=True)
        found = discovery.find()
        for one in found:
            print(f"  {one}  ({one.what})")
        default = str(found[0]) if found else ""
        return self._asker.text("Which broker does Home Assistant use?", default, flag="--broker")

    def _try(self, broker: Broker, before: Config | None) -> tuple[Trial, bool]:
        may_encrypt = not _is(before, broker)
        while True:
            tried = probe.attempt(broker, before, may_encrypt=may_encrypt)
            broker = tried.broker
            for check in tried.checks:
                mark = "✗" if check.verdict == "bad" else "✓"
                print(f"{mark} {check.name}: {check.detail}")
                if check.hint:
                    print(f"  → {check.hint}")
            if not tried.problems or not self._asker.interactive:
                return tried, False
            if tried.cure == "login":
                username = self._asker.text("User name", broker.username, flag="--username")
                password = Secret(self._asker.secret("Password", flag="--password-file"))
                broker = replace(broker, username=username, password=password)
            elif tried.cure == "authority":
                question = "File with the certificate of your own authority (PEM)"
                path = Path(self._asker.text(question, flag="--ca-cert")).expanduser()
                broker = replace(broker, tls=replace(broker.tls or Tls(), ca_cert=path.absolute()))
            else:
                answer = self._asker.text(_RETRY, str(broker), flag="--broker")
                if answer == _KEEP:
                    return tried, True
                if answer != str(broker):
                    broker = self._understood(answer, broker)

    def _understood(self, answer: str, broker: Broker) -> Broker:
        try:
            named = parse(answer)
        except ValueError as error:
            print(error)
            return broker
        return replace(
            named,
            username=named.username or broker.username,
            password=named.password or broker.password,
        )

    # --- The service ---------------------------------------------------------------------

    def _serve(self, config: Config, *, written: bool) -> int:
        host = self._host
        host.install(config, written=written)
        until = time.monotonic() + _ONLINE_LIMIT
        while not (status := host.status(config)).startswith("Connected"):
            if time.monotonic() > until or not host.active():
                print(f"The agent runs. {status}." if host.active() else host.last_words())
                return OK if self._options.untested and host.active() else NOT_WELL
            time.sleep(0.2)
        print(f"The agent runs. {status}.")
        return OK

    def _pair(self, config: Config) -> int:
        try:
            paired = bool(TrustStore(config.state_dir).peek() or config.fleet)
        except StoreError as error:
            print(f"pilot-agent: {error}", file=sys.stderr)
            return NOT_WELL
        wanted = self._options.pair
        if wanted is None:
            wanted = self._asker.interactive and not paired
        if not wanted:
            if not paired:
                print("Next: `pilot-agent pair` shows the code that Home Assistant asks for.")
            return OK
        from companion_agent.cli import pair  # noqa: PLC0415  (brings much with it)

        print()
        return pair.pair(config.state_dir, qr=True)


def remove(asker: Asker, host: SetupHost, *, purge: bool | None = None, check: bool = False) -> int:
    """Take the agent's start away, and what it kept if that is wanted.

    Args:
        asker: Asks whether keys and history go too.
        host: The system's part.
        purge: The answer; asked for when `None`, and no where there is no terminal.
        check: Whether to say only what would be changed.

    Returns:
        The exit code.
    """
    try:
        host.look_before_removal()
        if purge is None:
            question = "Delete its configuration, its keys and its history too?"
            purge = asker.yes(question, default=False)
        if kept := host.remove(purge=purge):
            print(f"Kept: {kept}.")
        print(describe(host.files.changes, check=check))
    except (NotInteractiveError, ServiceError) as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return NOT_WELL
    return OK


def _check_name(name: str) -> None:
    """Refuse what the configuration would refuse, before anything is asked.

    Raises:
        ValueError: The host cannot be called so.
    """
    kind = next(one.setting.kind for one in declared(Config) if one.key == "name")
    try:
        if name and isinstance(kind, Leaf):
            kind(name)
    except vol.Invalid as error:
        raise ValueError(f"--name: {error.error_message}") from None


def parse(address: str) -> Broker:
    """Read a broker's address as the configuration does.

    Raises:
        ValueError: It is none; the text says why.
    """
    try:
        tree = parse_broker(address)
    except ValueError as error:
        text = without_port(without_login(address))
        raise ValueError(f"the broker “{text}” {error}") from None
    try:
        check_host(str(tree["host"]))
    except ValueError as error:
        raise ValueError(f"there is no host “{tree['host']}”: {error}") from None
    tls = Tls() if "tls" in tree else None
    return make_broker(
        {
            **tree,
            **({"port": int(str(tree["port"]))} if "port" in tree else {}),
            "password": Secret(str(tree.get("password", ""))),
            "tls": tls,
        }
    )


def _is(before: Config | None, broker: Broker) -> bool:
    """Tell whether a broker is what the configuration says already."""
    return before is not None and before.brokers[0] == broker
