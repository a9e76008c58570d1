#!/usr/bin/python
"""The module `pilot_home.fleet.host_online`."""

from __future__ import annotations

DOCUMENTATION = """
module: host_online
author: Pilot authors
version_added: 0.1.0
short_description: Waits until a host is online in the broker
description:
  - Asks the broker, as Home Assistant does, and not the host. Runs wherever the broker can be
    reached from, usually on the controller.
requirements:
  - paho-mqtt 2.0 or newer, in the Python that runs the module
attributes:
  check_mode:
    description: Looks and waits as without it.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
options:
  broker:
    description: The broker's address, such as V(mqtts://mqtt.example), V(mqtt.local:1884)
      or V(wss://proxy.example/mqtt).
    type: str
    required: true
  ca_cert:
    description: The file (PEM) of the only authority to trust.
    type: path
  username:
    description: A login that may read what the host says, such as the host's own.
    type: str
  password:
    description: Its password.
    type: str
  host_id:
    description: The host's id, as C(pilot-agent id) prints it.
    type: str
    required: true
  version:
    description: The version that the agent must announce.
    type: str
  topic_prefix:
    description: What all topics start with.
    type: str
    default: pilot/v2
  timeout:
    description: How long to wait, in seconds.
    type: int
    default: 120
"""

EXAMPLES = """
- name: Wait until the host is online
  pilot_home.fleet.host_online:
    broker: mqtts://mqtt.example
    username: "{{ login }}"
    password: "{{ password }}"
    host_id: 9c3f6f0e3a5b4d21
  delegate_to: localhost
"""

RETURN = """
availability:
  description: What the host says of itself, or the broker says in its name.
  type: str
  returned: always
version:
  description: The version that its agent announces.
  type: str
  returned: always
"""

import json
import ssl
import threading
import time
import traceback
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion
except ImportError:
    PAHO_ERROR: str | None = traceback.format_exc()
else:
    PAHO_ERROR = None

# Whether a scheme encrypts, and its usual port.
_SCHEMES = {"mqtt": (False, 1883), "mqtts": (True, 8883), "ws": (False, 80), "wss": (True, 443)}


class Host:
    """What the broker says of a host."""

    def __init__(self, prefix: str, host: str) -> None:
        self.topics = {f"{prefix}/{host}/{name}": name for name in ("availability", "announce")}
        self.availability = ""
        self.version = ""
        self.trouble = "no answer"
        self._heard = threading.Condition()

    def on_connect(self, client: Any, _data: Any, _flags: Any, reason: Any, _: Any) -> None:
        """Ask for what is kept, and for what follows."""
        with self._heard:
            self.trouble = str(reason) if reason.is_failure else ""
        client.subscribe([(topic, 1) for topic in self.topics])

    def on_message(self, _client: Any, _data: Any, message: Any) -> None:
        """Remember what was said."""
        with self._heard:
            if self.topics.get(message.topic) == "availability":
                self.availability = availability_in(message.payload)
            else:
                self.version = version_in(message.payload)
            self._heard.notify_all()

    def wait(self, version: str | None, timeout: float) -> bool:
        """Wait until it is online."""

        def well() -> bool:
            return self.availability == "online" and version in {None, "", self.version}

        with self._heard:
            return self._heard.wait_for(well, timeout)


def availability_in(payload: bytes) -> str:
    """Return the word of an availability, which is all of it unless it is signed."""
    text = payload.decode("utf-8", "replace")
    return str(body_of(payload).get("availability", "")) if text.startswith("{") else text


def version_in(payload: bytes) -> str:
    """Return the agent's version of an announce; empty where there is none."""
    agent = body_of(payload).get("agent")
    return str(agent.get("version", "")) if isinstance(agent, dict) else ""


def body_of(payload: bytes) -> dict[str, Any]:
    """Return what a payload says, signed or not; nothing where it cannot be read."""
    try:
        tree = json.loads(payload)
        body = json.loads(tree["body"]) if "body" in tree else tree
    except (ValueError, KeyError, TypeError):
        return {}
    return body if isinstance(body, dict) else {}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "broker": {"required": True},
            "ca_cert": {"type": "path"},
            "username": {},
            "password": {"no_log": True},
            "host_id": {"required": True},
            "version": {},
            "topic_prefix": {"default": "pilot/v2"},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    if PAHO_ERROR:
        module.fail_json(msg=missing_required_lib("paho-mqtt"), exception=PAHO_ERROR)
    wanted = module.params
    host = Host(wanted["topic_prefix"], wanted["host_id"])
    until = time.monotonic() + wanted["timeout"]
    try:
        online = look(host, wanted, until)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"the broker {wanted['broker']} cannot be asked: {error}")
    found = {"availability": host.availability, "version": host.version}
    if not online:
        module.fail_json(msg=complaint(host, wanted), **found)
    module.exit_json(changed=False, **found)


def look(host: Host, wanted: dict[str, Any], until: float) -> bool:
    """Connect and wait.

    Raises:
        OSError: The broker cannot be reached, or its certificate is not trusted.
        ValueError: The address is none.
    """
    address = wanted["broker"] if "://" in wanted["broker"] else f"mqtt://{wanted['broker']}"
    parts = urlsplit(address)
    encrypted, port = _SCHEMES.get(parts.scheme, _SCHEMES["mqtt"])
    transport = "websockets" if parts.scheme in {"ws", "wss"} else "tcp"
    client = Client(CallbackAPIVersion.VERSION2, transport=transport)
    client.ws_set_options(parts.path or "/mqtt")
    client.on_connect, client.on_message = host.on_connect, host.on_message
    if wanted["username"]:
        client.username_pw_set(wanted["username"], wanted["password"])
    if encrypted:
        client.tls_set(ca_certs=wanted["ca_cert"])
    connect(client, str(parts.hostname), parts.port or port, until)
    client.loop_start()
    try:
        return host.wait(wanted["version"], max(0.0, until - time.monotonic()))
    finally:
        client.disconnect()
        client.loop_stop()


def connect(client: Any, name: str, port: int, until: float) -> None:
    """Connect, with a broker that restarts just now as well.

    Raises:
        OSError: It cannot be reached for all that time, or its certificate is not trusted.
    """
    while True:
        try:
            client.connect(name, port)
        except ssl.SSLError:
            raise
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(1)
        else:
            return


def complaint(host: Host, wanted: dict[str, Any]) -> str:
    """Say what is not as it should be, and where to look."""
    if host.trouble:
        return f"the broker {wanted['broker']} does not let the login in: {host.trouble}"
    if not host.availability:
        seen = "the broker has never heard of it"
    elif host.availability != "online":
        seen = f"the broker says that it is {host.availability}"
    else:
        seen = f"it runs {host.version or 'a version that it does not tell'}"
    hint = "on that host: systemctl status pilot-agent; journalctl -u pilot-agent"
    wish = f" with version {wanted['version']}" if wanted["version"] else ""
    return (
        f"the host {wanted['host_id']} was not online{wish} within {wanted['timeout']} s: {seen}. "
        f"Look {hint}"
    )


if __name__ == "__main__":
    main()
