"""What of paho's own imports is loaded only when it is used."""

from __future__ import annotations

import subprocess
import sys


def printed(program: str) -> str:
    # A process of its own: that of the tests has loaded everything.
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_what_paho_uses_for_proxies_and_ids_is_not_loaded() -> None:
    program = """
import sys
import companion_agent.mqtt.connection
print({"http.client", "email", "_uuid"} & {*sys.modules})
"""

    assert printed(program) == "set()"


def test_it_is_loaded_when_it_is_used() -> None:
    program = """
import companion_agent.mqtt.paho
import urllib.request
from uuid import UUID
print(urllib.request.Request("http://broker/").host, UUID(int=1).int)
"""

    assert printed(program) == "broker 1"


def test_paho_finds_the_proxy_that_the_environment_names() -> None:
    program = """
import os
os.environ["mqtt_proxy"] = "socks://proxy:1080"
from companion_agent.mqtt.paho import Client
import paho.mqtt.client
print(paho.mqtt.client.urllib.request.getproxies()["mqtt"])
"""

    assert printed(program) == "socks://proxy:1080"


def test_what_is_loaded_already_stays() -> None:
    program = """
import urllib.request
loaded = urllib.request
import companion_agent.mqtt.paho
print(urllib.request is loaded)
"""

    assert printed(program) == "True"
