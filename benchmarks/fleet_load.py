"""Part (e): what a whole fleet does to one Home Assistant; see ``fleet_scenarios.py``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

from stack import toolchain
from stack.console import StackError
from stack.paths import ROOT

from .report import Table

if TYPE_CHECKING:
    from pathlib import Path


def run(
    folder: Path,
    tables: list[Table],
    *,
    hosts: int,
    window: float,
    churn: int,
    minutes: float,
    shown: str,
) -> None:
    """Go through the scenarios in the environment that has Home Assistant.

    Args:
        folder: For all that is written.
        tables: Has what was measured so far, also after an error or an interruption.
        hosts: How many there are.
        window: Seconds that they are watched at rest.
        churn: How often hosts leave and join, where there is time for it.
        minutes: That all of it may take.
        shown: Which sensors are enabled: `all`, or `usual`, those that Pilot enables by itself.

    Raises:
        StackError: A scenario did not come to its end.
    """
    folder.mkdir(parents=True)
    program = [str(toolchain.python_of("homeassistant")), "-m", "benchmarks.fleet_scenarios"]
    process = subprocess.Popen(
        [*program, str(folder), *map(str, (hosts, window, churn, minutes)), shown],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=toolchain.clean_env(PYTHONPATH=os.pathsep.join((str(ROOT), str(ROOT / "scripts")))),
        # An interruption is for us alone, who pass it on.
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            tables[:] = [Table(**table) for table in json.loads(line)]
        if process.wait():
            raise StackError(f"the fleet's scenarios ended with {process.returncode}")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
