"""What a user tries with Docker. Images cannot be pulled here, so nothing is started."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
from typing import Any

import pytest

from stack import compose, system, toolchain
from stack.paths import ROOT
from stack.process import Process, free_port

FOLDER = ROOT / "deploy" / "compose"


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """Return the file as Docker Compose understands it."""
    if not system.can_apt_install():
        pytest.skip("Docker Compose is fetched from Debian's packages")
    done = subprocess.run(
        [*compose.command(), "--file", str(FOLDER / "compose.yaml"), "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        env=toolchain.clean_env(),
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower()
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_everything_that_is_named_is_there(config: dict[str, Any]) -> None:
    assert set(config["services"]) == {"home-assistant", "broker", "agent"}
    for service in config["services"].values():
        for volume in service["volumes"]:
            if volume["type"] == "bind":
                assert Path(volume["source"]).exists()
            else:
                assert volume["source"] in config["volumes"]
    build = config["services"]["agent"]["build"]
    assert Path(build["context"], build["dockerfile"]).is_file()


def test_the_broker_can_be_reached_from_this_machine_alone(config: dict[str, Any]) -> None:
    (port,) = config["services"]["broker"]["ports"]
    assert port["host_ip"] == "127.0.0.1"
    agent = config["services"]["agent"]
    assert agent["environment"]["PILOT_BROKER"] == f"127.0.0.1:{port['published']}"
    assert (agent["cap_drop"], agent["read_only"]) == (["ALL"], True)


def test_mosquitto_takes_its_configuration(tmp_path: Path) -> None:
    mosquitto = system.require("mosquitto")["mosquitto"]
    text = (FOLDER / "mosquitto.conf").read_text()
    text = text.replace("1883", str(free_port())).replace("/mosquitto/data/", f"{tmp_path}/")
    (tmp_path / "mosquitto.conf").write_text(f"user root\n{text}")
    command = [mosquitto, "-c", str(tmp_path / "mosquitto.conf")]
    with Process("mosquitto", command, tmp_path / "log") as broker:
        broker.wait_for_output(r"mosquitto version .* running$")
