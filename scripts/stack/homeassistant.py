"""A real Home Assistant: its folder, its process, its REST and websocket interfaces."""

# ruff: noqa: ANN401  # What JSON holds is known to those who asked for it.

from __future__ import annotations

from contextlib import contextmanager, suppress
import json
import os
from pathlib import Path
import re
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import httpx
from websockets.exceptions import WebSocketException
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect

from .console import StackError
from .paths import ROOT
from .process import Process, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from .broker import Broker

RESTART_EXIT_CODE = 100
"""What the process ends with when a user has asked for a restart."""

_USERNAME = "pilot"
_START_TIMEOUT = 180
# What it may take to answer: it starts beside others on a busy machine.
_PATIENCE = 60.0
_STOPPED = (httpx.TransportError, WebSocketException, OSError)


class Websocket:
    """One connection to the websocket interface (see :meth:`HomeAssistant.websocket`)."""

    def __init__(self, connection: ClientConnection, token: str) -> None:
        self._connection = connection
        self._next_id = 0
        self._events: dict[int, list[Any]] = {}
        self._receive(10)  # auth_required
        self._connection.send(json.dumps({"type": "auth", "access_token": token}))
        answer = self._receive(10)
        if answer["type"] != "auth_ok":
            raise StackError(f"Home Assistant refused the login: {answer.get('message')}")

    def call(self, kind: str, *, timeout: float = 30, **fields: Any) -> Any:
        """Send a command, such as ``config/device_registry/list``, and return its result.

        Raises:
            StackError: Home Assistant answered with an error.
        """
        number = self._send(kind, fields)
        while True:
            message = self._receive(timeout)
            if message["type"] == "event":
                self._events.setdefault(message["id"], []).append(message["event"])
            elif message["id"] == number and message["type"] == "result":
                if not message["success"]:
                    error = message["error"]
                    raise StackError(f"{kind}: {error['code']}: {error['message']}")
                return message["result"]

    def subscribe(self, kind: str, **fields: Any) -> int:
        """Send a command that answers with events; return its number for :meth:`event`."""
        self.call(kind, **fields)
        self._events.setdefault(self._next_id, [])
        return self._next_id

    def event(self, subscription: int, timeout: float = 30) -> Any:
        """Return the next event of a subscription."""
        waiting = self._events.setdefault(subscription, [])
        while not waiting:
            message = self._receive(timeout)
            if message["type"] == "event":
                self._events.setdefault(message["id"], []).append(message["event"])
        return waiting.pop(0)

    def events(self, subscription: int) -> list[Any]:
        """Return the events of a subscription that have come already."""
        while True:
            try:
                message = json.loads(self._connection.recv(timeout=0))
            except TimeoutError:
                break
            if message["type"] == "event":
                self._events.setdefault(message["id"], []).append(message["event"])
        return self._events.pop(subscription, [])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @property
    def open(self) -> bool:
        """Whether the connection can be used, as far as is known here."""
        return self._connection.state is State.OPEN

    def _send(self, kind: str, fields: Mapping[str, Any]) -> int:
        self._next_id += 1
        self._connection.send(json.dumps({"id": self._next_id, "type": kind, **fields}))
        return self._next_id

    def _receive(self, timeout: float) -> dict[str, Any]:
        try:
            message: dict[str, Any] = json.loads(self._connection.recv(timeout))
        except TimeoutError:
            raise StackError(f"no answer on the websocket within {timeout:g} s") from None
        return message


class HomeAssistant:
    """A Home Assistant with a folder of its own, and a client for it.

    >>> with HomeAssistant(folder) as ha:  # doctest: +SKIP
    ...     ha.add_mqtt(broker)
    ...     flow = ha.wait_for_flow("pilot")
    ...     ha.confirm(flow["flow_id"])

    Args:
        folder: Its configuration folder. What is in it already is kept.
        port: The one to listen on; a free one when it is taken or not given.
        host: The address to listen on. Loopback, unless other machines shall reach it.
        integrations: Folders that are linked into ``custom_components``.
        configuration: More for ``configuration.yaml``, by top-level key.
        language: Of the user that is made, as the front end will show it.
        hass: The command that starts Home Assistant; the one of this environment
            when it is not given.

    Attributes:
        username: Login of the administrator that is made at the first start.
        password: Its password, drawn at the first start and kept in the folder.

    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        integrations: Sequence[Path] = (ROOT / "custom_components" / "pilot",),
        configuration: Mapping[str, Any] | None = None,
        language: str = "en",
        hass: Sequence[str] | None = None,
    ) -> None:
        self.folder = folder
        self.host = host
        self.port = free_port(port, host)
        self.language = language
        self._integrations = tuple(integrations)
        self._configuration = dict(configuration or {})
        self._session_file = folder / "pilot-stack.json"
        self._session = self._load_session()
        self._expires = 0.0
        self._idle: list[Websocket] = []
        self._http = httpx.Client(timeout=_PATIENCE)
        command = [
            *(hass or (str(Path(sys.executable).parent / "hass"),)),
            "--config",
            str(folder),
            "--skip-pip",
            "--log-no-color",
        ]
        self.process = Process("Home Assistant", command, folder / "process.log", stop_timeout=60)

    # -- its life --------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address for a browser."""
        return f"http://{self.host}:{self.port}"

    @property
    def username(self) -> str:
        """The administrator's login."""
        return str(self._session["username"])

    @property
    def password(self) -> str:
        """The administrator's password."""
        return str(self._session["password"])

    @property
    def tokens(self) -> dict[str, Any]:
        """What the front end keeps in ``localStorage.hassTokens``."""
        self._log_in()
        return {
            "access_token": self._session["access_token"],
            "refresh_token": self._session["refresh_token"],
            "token_type": "Bearer",
            "expires_in": 1800,
            "expires": int(self._expires * 1000),
            "hassUrl": self.url,
            "clientId": self._session["client_id"],
        }

    def add_user(self, username: str) -> dict[str, Any]:
        """Make a user who is no administrator; return what the front end keeps of the login."""
        password = secrets.token_hex(5)
        user = self.ws("config/auth/create", name=username, group_ids=["system-users"])["user"]
        self.ws(
            "config/auth_provider/homeassistant/create",
            user_id=user["id"],
            username=username,
            password=password,
        )
        client_id = self._session["client_id"]
        flow = self._http.post(
            f"{self.url}/auth/login_flow",
            json={
                "client_id": client_id,
                "handler": ["homeassistant", None],
                "redirect_uri": client_id,
            },
        ).json()
        login = {"client_id": client_id, "username": username, "password": password}
        done = self._http.post(f"{self.url}/auth/login_flow/{flow['flow_id']}", json=login).json()
        granted = {"client_id": client_id, "grant_type": "authorization_code"}
        token = self._http.post(f"{self.url}/auth/token", data={**granted, "code": done["result"]})
        if token.status_code != 200:
            raise StackError(f"{username} cannot log in: {token.status_code} {token.text}")
        return {
            **token.json(),
            "expires": int((time.time() + 1800) * 1000),
            "hassUrl": self.url,
            "clientId": client_id,
        }

    def start(self) -> None:
        """Start it and wait until it is set up; make the user at the first start."""
        self._prepare()
        self.process.start()
        try:
            # Refused connections are answered at once, so this may ask often.
            wait_for(
                self._answers, "Home Assistant's web server", timeout=_START_TIMEOUT,
                process=self.process,
            )  # fmt: skip
            if "refresh_token" not in self._session:
                self._onboard()
            wait_for(
                self._is_running, "Home Assistant's end of start", timeout=_START_TIMEOUT,
                process=self.process,
            )  # fmt: skip
        except BaseException:
            self.process.stop()
            raise

    def stop(self) -> int | None:
        """Stop it in order: everything is unloaded and written."""
        self._hang_up()
        return self.process.stop()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.process.kill()
        self._hang_up()

    def link(self, *integrations: Path) -> None:
        """Have other integrations of its own from the next start on."""
        self._integrations = integrations

    def restart(self) -> None:
        """Stop and start it on the same port."""
        self.stop()
        self.start()

    def log(self) -> str:
        """Return what it has logged since its last start."""
        return self.process.output()

    def log_problems(self, about: str = "pilot") -> list[str]:
        """Return the logged warnings, errors and tracebacks that mention ``about``."""
        entries = re.split(r"(?m)^(?=\d{4}-\d\d-\d\d )", self.log())
        level = re.compile(r"^\S+ \S+ (?:WARNING|ERROR|CRITICAL)")
        # Home Assistant says of every custom integration that it is untested.
        return [
            entry
            for entry in entries
            if level.match(entry) and about in entry and "has not been tested by" not in entry
        ]

    # -- REST and websocket ------------------------------------------------------

    def get(self, path: str) -> Any:
        """``GET`` a path below ``/api/``."""
        return self._request("GET", path, None)

    def post(self, path: str, data: Any = None) -> Any:
        """``POST`` to a path below ``/api/``."""
        return self._request("POST", path, {} if data is None else data)

    def delete(self, path: str) -> Any:
        """``DELETE`` a path below ``/api/``."""
        return self._request("DELETE", path, None)

    @contextmanager
    def websocket(self) -> Iterator[Websocket]:
        """Open a websocket for several commands or for subscriptions."""
        websocket = self._open_websocket()
        try:
            yield websocket
        finally:
            websocket.close()

    def ws(self, kind: str, **fields: Any) -> Any:
        """Send one websocket command, on a connection that is kept for the next one."""
        websocket = self._idle_websocket() or self._open_websocket()
        try:
            result = websocket.call(kind, **fields)
        except BaseException:
            websocket.close()
            raise
        self._idle.append(websocket)
        return result

    def _idle_websocket(self) -> Websocket | None:
        # Tests ask from several threads: what one has taken is not there for the others.
        with suppress(IndexError):
            while True:
                websocket = self._idle.pop()
                if websocket.open:
                    return websocket
        return None

    def _open_websocket(self) -> Websocket:
        self._log_in()
        address = f"ws://{self.host}:{self.port}/api/websocket"
        connection = connect(address, max_size=None, proxy=None, open_timeout=_PATIENCE)
        try:
            return Websocket(connection, self._session["access_token"])
        except BaseException:
            connection.close()
            raise

    def _hang_up(self) -> None:
        self._expires = 0.0
        while self._idle:
            self._idle.pop().close()

    def call_service(self, domain: str, service: str, **data: Any) -> Any:
        """Call an action."""
        return self.post(f"services/{domain}/{service}", data)

    # -- states and registries ---------------------------------------------------

    def states(self) -> dict[str, dict[str, Any]]:
        """Return every state by entity id."""
        return {state["entity_id"]: state for state in self.get("states")}

    def state(self, entity_id: str) -> dict[str, Any] | None:
        """Return one state, or ``None``."""
        # All of them, asked for again and again, keep Home Assistant from what is waited for.
        answer = self._send("GET", f"states/{entity_id}", None)
        if answer.status_code == 404:
            return None
        state: dict[str, Any] = _content(answer)
        return state

    def wait_for_state(
        self,
        entity_id: str,
        condition: str | Callable[[dict[str, Any]], bool],
        *,
        timeout: float = 30,
    ) -> dict[str, Any]:
        """Wait until a state is as wanted, and return it.

        Args:
            entity_id: Of the entity.
            condition: The state's text, or a function of the state's object.
            timeout: In seconds.

        """
        last: dict[str, Any] | None = None

        def matches() -> dict[str, Any] | None:
            nonlocal last
            last = self.state(entity_id)
            if last is None:
                return None
            wanted = condition(last) if callable(condition) else last["state"] == condition
            return last if wanted else None

        what = condition if isinstance(condition, str) else "the wanted state"
        try:
            return wait_for(matches, f"{what} of {entity_id}", timeout=timeout, interval=0.2)
        except StackError as error:
            seen = "it does not exist" if last is None else f"it is “{last['state']}”"
            raise StackError(f"{error.message.splitlines()[0]}: {seen}") from None

    def devices(self) -> list[dict[str, Any]]:
        """Return the device registry."""
        return list(self.ws("config/device_registry/list"))

    def entities(self, *, device_id: str | None = None, entry_id: str | None = None) -> Any:
        """Return the entity registry, or what of it belongs to a device or an entry."""
        return [
            entity
            for entity in self.ws("config/entity_registry/list")
            if device_id in {None, entity["device_id"]}
            and entry_id in {None, entity["config_entry_id"]}
        ]

    def entries(self, domain: str = "pilot") -> list[dict[str, Any]]:
        """Return the configuration entries of an integration."""
        return list(self.get(f"config/config_entries/entry?domain={domain}"))

    # -- configuration flows -----------------------------------------------------

    def flows(self, handler: str = "pilot") -> list[dict[str, Any]]:
        """Return the discovered things that wait to be added."""
        return [
            flow for flow in self.ws("config_entries/flow/progress") if flow["handler"] == handler
        ]

    def wait_for_flow(
        self,
        handler: str = "pilot",
        *,
        where: Callable[[dict[str, Any]], bool] = lambda _: True,
        timeout: float = 30,
    ) -> dict[str, Any]:
        """Wait until something is discovered, and return its flow."""
        return wait_for(
            lambda: next((flow for flow in self.flows(handler) if where(flow)), None),
            f"discovery of {handler}",
            timeout=timeout,
            interval=0.25,
            process=self.process,
        )

    def confirm(self, flow_id: str, data: Mapping[str, Any] | None = None) -> Any:
        """Answer a step of a flow, with nothing unless it asks for something.

        Returns:
            What the flow came to: ``type`` is ``create_entry``, ``form``, ``abort``...

        """
        address = f"config/config_entries/flow/{flow_id}"
        step = self.post(address, dict(data or {}))
        if step["type"] != "progress":
            return step
        return wait_for(
            lambda: step if (step := self.get(address))["type"] != "progress" else None,
            "the end of what the flow does",
            process=self.process,
        )

    def configure(self, entry_id: str, step: str, data: Mapping[str, Any]) -> Any:
        """Change the options of an entry, by a step of their menu, and return what came of it."""
        flow = self.post("config/config_entries/options/flow", {"handler": entry_id})
        answer = f"config/config_entries/options/flow/{flow['flow_id']}"
        self.post(answer, {"next_step_id": step})
        return self.post(answer, dict(data))

    def start_flow(self, handler: str = "pilot", **context: Any) -> Any:
        """Start a flow as the button *Add integration* does, and return its first step."""
        data = {"handler": handler, "show_advanced_options": False, **context}
        return self.post("config/config_entries/flow", data)

    def remove_entry(self, entry_id: str) -> Any:
        """Remove a configuration entry."""
        return self.delete(f"config/config_entries/entry/{entry_id}")

    def reload_entry(self, entry_id: str) -> Any:
        """Reload a configuration entry."""
        return self.post(f"config/config_entries/entry/{entry_id}/reload")

    def add_mqtt(self, broker: Broker, websocket: tuple[int, str] | None = None) -> None:
        """Make the MQTT entry, or bring it up to date with where the broker is now.

        Args:
            broker: The broker.
            websocket: Port and path, where a WebSocket is to carry MQTT.
        """
        port, path = websocket or (broker.port, None)
        carried = {"transport": "tcp"}
        if path is not None:
            carried = {"transport": "websockets", "ws_path": path}
        access: dict[str, Any] = {"broker": broker.host, "port": port}
        if broker.username is not None:
            access |= {"username": broker.username, "password": broker.password}
        access |= {
            "protocol": broker.protocol,
            "other_settings": {
                "set_client_cert": False,
                "set_ca_cert": "off",
                **carried,
            },
        }
        existing = self.entries("mqtt")
        if existing:
            # Home Assistant asks for the whole form again when it is reconfigured.
            step = self.start_flow("mqtt", entry_id=existing[0]["entry_id"])
        else:
            step = self.start_flow("mqtt")
        try:
            result = self.confirm(step["flow_id"], access)
        except StackError as error:
            if ": 500 " not in error.message:
                raise
            # paho's `loop_stop()` can lose a race with the end of its own thread, which Home
            # Assistant's try of the broker does not expect. The flow is where it was.
            result = self.confirm(step["flow_id"], access)
        done = result["type"] == "create_entry" or result.get("reason") == "reconfigure_successful"
        if not done:
            raise StackError(
                "Home Assistant could not be connected with the broker: "
                f"{result.get('errors') or result.get('reason')}\n{self.process.log_tail()}"
            )
        wait_for(
            lambda: self.entries("mqtt")[0]["state"] == "loaded",
            "a loaded MQTT entry",
            process=self.process,
        )

    # -- inside --------------------------------------------------------------------

    def _prepare(self) -> None:
        """Write what has to lie in the folder before Home Assistant starts."""
        storage = self.folder / ".storage"
        storage.mkdir(parents=True, exist_ok=True)
        media = self.folder / "media"
        media.mkdir(exist_ok=True)
        configuration: dict[str, Any] = {
            "homeassistant": {
                "name": "Pilot",
                "unit_system": "metric",
                "time_zone": _time_zone(),
                "country": _country(),
                # In a container it would be /media.
                "media_dirs": {"local": str(media)},
            },
            "frontend": None,
            "config": None,
            "history": None,
            "logbook": None,
            "recorder": {"commit_interval": 1},
            "logger": {"default": "warning", "logs": {"custom_components.pilot": "debug"}},
            **self._configuration,
        }
        # JSON is YAML; null is what an empty section is.
        (self.folder / "configuration.yaml").write_text(
            json.dumps(configuration, indent=2) + "\n", encoding="utf-8"
        )
        onboarding = storage / "onboarding"
        if not onboarding.exists():
            # The user is made over REST. The other steps ask for what we know
            # already, or reach for the cloud.
            _write_store(
                onboarding, "onboarding", 4, {"done": ["core_config", "analytics", "integration"]}
            )
        self._write_http_settings(storage / "http")
        components = self.folder / "custom_components"
        components.mkdir(exist_ok=True)
        for source in self._integrations:
            link = components / source.name
            if link.is_symlink() and link.readlink() == source:
                continue
            link.unlink(missing_ok=True)
            link.symlink_to(source)

    def _write_http_settings(self, path: Path) -> None:
        """Set address and port where the user interface keeps them.

        ``http:`` in the YAML would be taken over for a trial, with a dialog over
        every page that asks whether to keep it.
        """
        stable = {
            "server_host": [self.host],
            "server_port": self.port,
            "cors_allowed_origins": [],
            "login_attempts_threshold": -1,
            "ip_ban_enabled": True,
            "ssl_profile": "intermediate_v6",
            "use_x_frame_options": True,
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
            "error": None,
            "error_message": None,
        }
        data = {"stable": stable, "pending": None, "yaml_migration_done": True}
        _write_store(path, "http", 3, data)

    def _load_session(self) -> dict[str, Any]:
        try:
            session: dict[str, Any] = json.loads(self._session_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            # The password keeps out other users of this machine.
            session = {"username": _USERNAME, "password": secrets.token_hex(5)}
        return session

    def _answers(self) -> bool:
        try:
            # Not /api/: this path needs no login and is there from the first moment.
            return self._http.get(f"{self.url}/manifest.json").status_code == 200
        except _STOPPED:
            return False

    def _is_running(self) -> bool:
        try:
            return bool(self.get("config")["state"] == "RUNNING")
        except _STOPPED:
            return False

    def _onboard(self) -> None:
        """Make the administrator and log in, as the first page would."""
        client_id = f"{self.url}/"
        made = self._http.post(
            f"{self.url}/api/onboarding/users",
            json={
                "client_id": client_id,
                "name": "Pilot",
                "username": self.username,
                "password": self.password,
                "language": self.language,
            },
        )
        if made.status_code != 200:
            raise StackError(f"the user could not be made: {made.status_code} {made.text}")
        self._session["client_id"] = client_id
        self._fetch_token(grant_type="authorization_code", code=made.json()["auth_code"])

    def _log_in(self) -> None:
        if time.time() > self._expires - 60:
            self._fetch_token(
                grant_type="refresh_token", refresh_token=self._session["refresh_token"]
            )

    def _fetch_token(self, **grant: str) -> None:
        answer = self._http.post(
            f"{self.url}/auth/token", data={**grant, "client_id": self._session["client_id"]}
        )
        if answer.status_code != 200:
            raise StackError(f"Home Assistant gave no token: {answer.status_code} {answer.text}")
        token = answer.json()
        self._expires = time.time() + token["expires_in"]
        self._session |= {
            key: token[key] for key in ("access_token", "refresh_token") if key in token
        }
        self._session_file.touch(mode=0o600)
        self._session_file.write_text(json.dumps(self._session), encoding="utf-8")

    def _request(self, method: str, path: str, data: Any) -> Any:
        return _content(self._send(method, path, data))

    def _send(self, method: str, path: str, data: Any) -> httpx.Response:
        self._log_in()
        return self._http.request(
            method,
            f"{self.url}/api/{path}",
            json=data,
            headers={"Authorization": f"Bearer {self._session['access_token']}"},
        )


def _content(answer: httpx.Response) -> Any:
    if answer.status_code >= 400:
        request = f"{answer.request.method} {answer.request.url.path}"
        raise StackError(f"{request}: {answer.status_code} {answer.text[:500]}")
    return answer.json() if answer.content else None


def _write_store(path: Path, key: str, version: int, data: Any) -> None:
    """Write a file as Home Assistant's storage does."""
    text = json.dumps({"version": version, "minor_version": 1, "key": key, "data": data})
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _time_zone() -> str:
    """Return this machine's time zone by name, so that graphs show its own hours."""
    if named := os.environ.get("TZ", "").lstrip(":"):
        return named if "/" in named else "UTC"
    target = os.path.realpath("/etc/localtime")
    _, found, name = target.partition("zoneinfo/")
    return name.removeprefix("posix/") if found else "UTC"


def _country() -> str:
    """Return the country of this machine's locale; Home Assistant complains without one."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if match := re.match(r"[a-z]{2,3}_([A-Z]{2})", os.environ.get(variable, "")):
            return match[1]
    return "GB"
