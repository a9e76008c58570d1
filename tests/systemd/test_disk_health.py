"""Root asks the disks for the agent: the real units, and a container's idea of a disk.

No container has disks, and smartctl is none that asks one: `tests/hardware` has both.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from installing import PROGRAM, address, exposure, give_to_root

from companion_agent.platforms.linux import smart_helper
from companion_agent.service.unit import SERVICE, SMART_SERVICE, SMART_TIMER
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.broker import Mosquitto
    from stack.nspawn import SystemdHost

# The highest that `systemd-analyze security` may find.
EXPOSURE = 2.5
# It says what it could do: the capabilities that are left to it, and its user.
SMARTCTL = r"""#!/bin/sh
capabilities=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
cat <<END
{"smartctl": {}, "model_name": "$capabilities", "serial_number": "$(id -u)",
"smart_status": {"passed": true}}
END
"""
RAWIO, ADMIN = 1 << 17, 1 << 21


def test_a_timer_has_root_ask_the_disks(
    make_agent_host: Callable[..., SystemdHost], broker: Mosquitto
) -> None:
    host = make_agent_host()
    host.run("mkdir", "-p", "/srv/block/sda/device")
    host.run("mount", "--bind", "/srv/block", f"/{smart_helper.BLOCK}")
    host.write("/usr/sbin/smartctl", SMARTCTL, mode=0o755)
    give_to_root(host)
    host.run(PROGRAM, "setup", "--yes", "--no-pair", "--broker", address(broker))
    wanted = f"/{smart_helper.WANTED}"
    wait_for(
        lambda: host.run("test", "-e", wanted, check=False).returncode == 0, wanted, timeout=60
    )

    # The timer is for machines that are no containers.
    assert "enabled" in host.run("systemctl", "is-enabled", SMART_TIMER).stdout
    host.run("systemctl", "start", SMART_SERVICE)

    # Without a value: in the sandbox of a container's unit, the start of the system is another one.
    [reading] = json.loads(host.run(PROGRAM, "read", "disk_health", "--json").stdout)["readings"]
    assert reading.endswith(".health")
    report = json.loads(host.run("cat", f"/{smart_helper.REPORT}").stdout)
    disk = report["disks"]["sda"]["report"]
    # Containers have the other capability of the two themselves not.
    assert (int(disk["model_name"], 16) & ~RAWIO, disk["serial_number"]) == (ADMIN, "0")
    assert exposure(host, SMART_SERVICE) <= EXPOSURE

    host.run("systemctl", "stop", SERVICE)
    assert host.run("test", "-e", wanted, check=False).returncode
    host.run(PROGRAM, "setup", "--remove", "--purge")
    assert host.run("test", "-e", f"/{smart_helper.FOLDER}", check=False).returncode
