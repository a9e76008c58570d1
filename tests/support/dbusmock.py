"""What it takes to have python-dbusmock play services on a system bus of a test's own."""

from __future__ import annotations

import os
import shutil
import subprocess

MOCK_PYTHON = "/usr/bin/python3"
"""Debian's Python, whose packages python3-dbusmock and python3-gi come from."""

BUS_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def without_python() -> dict[str, str]:
    """Return this process's environment without what would lead Debian's Python to its packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def why_not() -> str:
    """Say why there can be no such services here; empty when there can."""
    if shutil.which("dbus-daemon") is None:
        return "dbus-daemon is not installed (Debian: apt install dbus)"
    asked = subprocess.run(
        [MOCK_PYTHON, "-c", "import dbusmock, gi"],
        env=without_python(),
        capture_output=True,
        check=False,
    )
    return (
        ""
        if asked.returncode == 0
        else "dbusmock is not installed (Debian: apt install python3-dbusmock)"
    )
