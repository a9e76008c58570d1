"""``scripts/demo``: this computer in a Home Assistant of its own."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
import hashlib
import json
import logging
import secrets
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from . import system
from .agent import Agent
from .broker import EmbeddedBroker, Mosquitto
from .console import StackError, fail
from .dashboard import dashboard
from .demo_room import DemoRoom
from .homeassistant import RESTART_EXIT_CODE, HomeAssistant
from .host import Host, Watch
from .locks import file_lock
from .options import DEMO_NOTES, DemoOptions, make_demo_folder, parse_demo
from .paths import ROOT
from .process import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PORTS = range(8123, 8144)
_DASHBOARD = "pilot-demo"
_READINGS_TIMEOUT = 90

_err = Console(stderr=True, highlight=False)
# Where the output is not a terminal, a table need not fit into 80 columns.
_out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


class Demo:
    """Broker, Home Assistant and agent, and the folder that they live in."""

    def __init__(self, folder: Path, options: DemoOptions) -> None:
        self.folder = folder
        self._options = options
        self._notes_file = folder / DEMO_NOTES
        self._notes: dict[str, Any] = {}
        self._stack = ExitStack()
        self._processes: list[Process] = []
        self.ready = False
        """Whether everything was up and shown to the user."""

    def __enter__(self) -> Self:
        self._stack.enter_context(
            file_lock(
                self.folder.with_name(self.folder.name + ".lock"),
                "the demo",
                refuse="the demo is running already; stop it first with Ctrl-C in its terminal",
            )
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._processes:
            # Another signal while this waits kills the processes.
            signal.signal(signal.SIGINT, self._hurry)
            signal.signal(signal.SIGTERM, self._hurry)
            with _step("stopping everything", "everything has ended"):
                self._stack.close()
        else:
            self._stack.close()

    def run(self) -> int:
        """Bring everything up; then check, or wait until it is interrupted."""
        if self._options.fresh:
            self._forget()
        self._notes = self._read_notes()
        # Says from now on that the folder is a demo's.
        self._note()
        started = time.time()
        port = self._choose_port()
        self._room = None if self._options.check else DemoRoom(self.folder / "agent")
        self._broker = self._start_broker()
        self._agent = self._start_agent()
        self._ha = self._start_home_assistant(port)
        self._connect()
        with Watch(self._ha, since=started) as self._watch:
            host = self._wait_for_readings(self._add_host())
        if self._options.check:
            return self._report(host)
        if self._room and not self._notes.get("furnished"):
            with _step("carrying the room sensor about", "a sensor, two rooms and a week"):
                self._room.furnish(self._ha, host)
            self._note(furnished=True)
        self._prepare_dashboard(host)
        self._introduce(host)
        self._supervise()
        return 0

    def _forget(self) -> None:
        """Remove what earlier demos have left, and nothing else."""
        for name in ("agent", "broker", "homeassistant"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self._notes_file.unlink(missing_ok=True)

    # -- bringing it up ----------------------------------------------------------

    def _start_broker(self) -> Mosquitto | EmbeddedBroker:
        port = self._notes.get("broker_port")
        broker: Mosquitto | EmbeddedBroker
        if _has_mosquitto():
            password = self._notes.setdefault("broker_password", secrets.token_hex(12))
            broker = Mosquitto(
                self.folder / "broker", port=port, username="pilot", password=password
            )
            name = "Mosquitto"
            self._processes.append(broker.process)
        else:
            # It reports every lost connection with a traceback.
            logging.getLogger("amqtt").setLevel(logging.CRITICAL)
            logging.getLogger("transitions").setLevel(logging.CRITICAL)
            broker = EmbeddedBroker(port=port)
            name = "embedded broker"
            _err.print(
                "[yellow]![/] without Mosquitto the broker speaks MQTT 3.1.1 only, and Home "
                f"Assistant shows a repair for it: {system.install_command(['mosquitto'])}",
                soft_wrap=True,
            )
        with _step(f"starting the {name}", f"{name} on port {broker.port}"):
            self._stack.enter_context(broker)
        self._note(broker_port=broker.port)
        return broker

    def _start_agent(self) -> Agent:
        # Whatever is pressed, this computer stays on.
        settings: dict[str, Any] = {"commands": {"dry_run": True}}
        if self._room:
            settings["i2c"] = self._room.settings
            self._room.measure()
        agent = Agent(
            self.folder / "agent",
            self._broker,
            settings=settings,
            env=self._room.env if self._room else None,
        )
        with _step("starting this host's agent", "agent of this host"):
            self._processes.append(agent.process)
            self._stack.enter_context(agent)
        return agent

    def _start_home_assistant(self, port: int) -> HomeAssistant:
        if not (ROOT / "custom_components" / "pilot" / "manifest.json").exists():
            raise StackError("custom_components/pilot is missing from this checkout")
        ha = HomeAssistant(self.folder / "homeassistant", port=port)
        with _step("starting Home Assistant", f"Home Assistant at {ha.url}"):
            self._processes.append(ha.process)
            self._stack.enter_context(ha)
        self._note(port=ha.port)
        return ha

    def _choose_port(self) -> int:
        wanted = self._options.port
        if wanted is not None:
            if free_port(wanted) != wanted:
                raise StackError(
                    f"port {wanted} is in use", "name another one, or leave --port out"
                )
            return wanted
        preferred = (self._notes.get("port"), *_PORTS)
        for port in preferred:
            if port and free_port(port) == port:
                if port != _PORTS[0] and port != preferred[0]:
                    _err.print(f"[yellow]![/] port {_PORTS[0]} is in use; taking {port}")
                return int(port)
        return free_port()

    def _connect(self) -> None:
        """Tell Home Assistant where the broker is, unless it knows."""
        broker = self._broker
        access = [broker.host, broker.port, broker.protocol, broker.username, broker.password]
        if self._ha.entries("mqtt") and self._notes.get("access") == access:
            return
        with _step("connecting Home Assistant with the broker", "connected with the broker"):
            self._ha.add_mqtt(broker)
        self._note(access=access)

    def _add_host(self) -> str:
        """Accept this host's discovery, as the user would, unless it was before."""
        with _step("waiting for this host", "this host is announced"):
            try:
                hosts = self._watch.wait_for_announce()
            except StackError as error:
                raise StackError(f"{error.message}\n{self._agent.process.log_tail()}") from None
            host_id = self._own_id(hosts)
        if any(entity.startswith(host_id) for entity in self._pilot_entities()):
            return host_id
        with _step("adding this host to Home Assistant", "added as a device, and paired"):
            flow = self._ha.wait_for_flow(
                where=lambda flow: flow["context"].get("unique_id") == host_id
            )
            result = self._ha.confirm(flow["flow_id"], {"code": self._agent.pair().digits})
            if result["type"] != "create_entry":
                raise StackError(
                    "the host could not be added: "
                    f"{result.get('reason') or result.get('errors') or result['type']}"
                )
        return host_id

    def _own_id(self, hosts: list[str]) -> str:
        """Return our agent's id: the broker is ours, but other hosts may use it as well."""
        kept = self.folder / "agent" / "state" / "host-id"
        if kept.exists() and (own := kept.read_text(encoding="ascii").strip()) in hosts:
            return own
        return hosts[0]

    def _pilot_entities(self) -> list[str]:
        return [e["unique_id"] for e in self._ha.entities() if e["platform"] == "pilot"]

    def _wait_for_readings(self, host_id: str) -> Host:
        """Wait until everything that the agent reads is in Home Assistant."""
        deadline = time.monotonic() + _READINGS_TIMEOUT
        with _step("waiting for the readings", "readings"):
            while True:
                host = self._watch.host(host_id)
                # With what there is a dashboard can be drawn; a check wants it all.
                if not host.missing() or time.monotonic() > deadline:
                    return host
                for process in self._processes:
                    if not process.running:
                        raise StackError(f"{process.name} has ended\n{process.log_tail()}")
                time.sleep(0.5)

    def _prepare_dashboard(self, host: Host) -> None:
        """Draw the dashboard and show it first, unless the user has changed it."""
        with self._ha.websocket() as websocket:
            existing = {d["url_path"] for d in websocket.call("lovelace/dashboards/list")}
            if _DASHBOARD not in existing:
                websocket.call(
                    "lovelace/dashboards/create",
                    url_path=_DASHBOARD,
                    title=host.name,
                    icon="mdi:desktop-tower-monitor",
                    mode="storage",
                )
                websocket.call(
                    "frontend/set_user_data", key="core", value={"default_panel": _DASHBOARD}
                )
            else:
                current = websocket.call("lovelace/config", url_path=_DASHBOARD, force=True)
                if _digest(current) != self._notes.get("dashboard"):
                    return
            config = dashboard(host)
            websocket.call("lovelace/config/save", url_path=_DASHBOARD, config=config)
            self._note(dashboard=_digest(config))

    # -- what the user sees --------------------------------------------------------

    def _introduce(self, host: Host) -> None:
        lines = Table.grid(padding=(0, 2))
        lines.add_row("address", Text(f"{self._ha.url}/{_DASHBOARD}", style="bold cyan"))
        lines.add_row("login", Text(f"{self._ha.username}  {self._ha.password}", style="bold"))
        lines.add_row("host", f"{host.name}, {len(host.values)} readings")
        lines.add_row("commands", "paired; nothing is carried out (commands.dry_run)")
        lines.add_row("broker", f"{self._broker.host}:{self._broker.port}")
        lines.add_row("data", Text(str(self.folder)))
        lines.add_row("", Text("Ctrl-C ends everything", style="dim"))
        _out.print(Panel(lines, title="Pilot", border_style="green", expand=False))
        sys.stdout.flush()
        self.ready = True

    def _report(self, host: Host) -> int:
        """Print what Home Assistant has of this host."""
        table = Table(title=f"{host.name} in Home Assistant")
        table.add_column("reading")
        table.add_column("value", justify="right")
        table.add_column("entity", style="dim", overflow="fold")
        for reading in sorted(host.announce["readings"], key=lambda reading: reading["key"]):
            if (entity_id := host.entity_id(reading["key"])) is not None:
                state = host.states[entity_id]
                value = _shown(state, host.entities[reading["key"]])
                name = state["attributes"].get("friendly_name", entity_id)
                table.add_row(name.removeprefix(f"{host.name} "), value, entity_id)
        _out.print(table)
        missing = host.missing()
        for problem in missing:
            _out.print(f"[red]✗[/] {problem}", soft_wrap=True)
        disabled = sum(1 for entity in host.entities.values() if entity["disabled_by"])
        present = sum(1 for reading in host.announce["readings"] if host.has_value(reading["key"]))
        _out.print(
            f"{present} readings with a value, {disabled} disabled by default, "
            f"{len(missing)} missing"
        )
        return 1 if missing or not present else 0

    def _supervise(self) -> None:
        """Wait until something ends; Home Assistant may ask to be started again."""
        while True:
            if self._room:
                self._room.measure()
            for process in self._processes:
                if process.running:
                    continue
                if process is self._ha.process and process.returncode == RESTART_EXIT_CODE:
                    with _step("starting Home Assistant again", "Home Assistant is back"):
                        self._ha.start()
                    continue
                raise StackError(
                    f"{process.name} has ended ({process.returncode})\n{process.log_tail()}"
                )
            time.sleep(0.5)

    # -- inside --------------------------------------------------------------------

    def _hurry(self, *_: object) -> None:
        for process in self._processes:
            process.kill()

    def _read_notes(self) -> dict[str, Any]:
        try:
            notes: dict[str, Any] = json.loads(self._notes_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return notes

    def _note(self, **notes: object) -> None:
        self._notes |= notes
        self._notes_file.touch(mode=0o600)
        self._notes_file.write_text(json.dumps(self._notes, indent=2), encoding="utf-8")


@contextmanager
def _step(doing: str, done: str) -> Iterator[None]:
    """Show what is going on, and how long it took."""
    start = time.monotonic()
    with _err.status(f"{doing} …"):
        yield
    _err.print(f"[green]✓[/] {done} [dim]({time.monotonic() - start:.1f} s)[/]", soft_wrap=True)


def _shown(state: dict[str, Any], entity: dict[str, Any]) -> str:
    """Return a state as the front end would show it."""
    text = str(state["state"])
    precision = (entity.get("options") or {}).get("sensor", {}).get("suggested_display_precision")
    if precision is not None:
        with suppress(ValueError):
            text = f"{float(text):.{precision}f}"
    unit = state["attributes"].get("unit_of_measurement")
    return f"{text} {unit}" if unit else text


def _has_mosquitto() -> bool:
    """Tell whether Mosquitto is there, after installing it where that needs no question."""
    if system.find("mosquitto") is None and system.can_apt_install():
        with suppress(StackError):
            system.require("mosquitto")
    return system.find("mosquitto") is not None


def _digest(config: object) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run as a program."""
    options = parse_demo(sys.argv[1:])
    # Each of these signals ends the demo in order. Shells start background jobs with SIGINT
    # ignored, nohup with SIGHUP ignored; only the latter is what its user wants.
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        demo = Demo(make_demo_folder(options), options)
    except StackError as error:
        fail(error)
        return 1
    try:
        with demo:
            return demo.run()
    except StackError as error:
        fail(error)
        return 1
    except KeyboardInterrupt:
        # The usual end of a demo, unless it came too early.
        return 0 if demo.ready else 130


if __name__ == "__main__":
    sys.exit(main())
