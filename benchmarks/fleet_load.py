"""Part (e): what a whole fleet does to one Home Assistant; see ``fleet_scenarios.py``."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

from stack import toolchain
from stack.console import StackError
from stack.paths import ROOT

from .report import Table

if TYPE_CHECKING:
    from pathlib import Path


def run(folder: Path, *, hosts: int, window: float, churn: int) -> list[Table]:
    """Go through the scenarios in the environment that has Home Assistant.

    Args:
        folder: For all that is written.
        hosts: How many there are.
        window: Seconds that they are watched at rest.
        churn: How often hosts leave and join.
    """
    folder.mkdir(parents=True)
    command = [str(toolchain.python_of("homeassistant")), "-m", "benchmarks.fleet_scenarios"]
    done = subprocess.run(
        [*command, str(folder), str(hosts), str(window), str(churn)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=ROOT,
        env=toolchain.clean_env(PYTHONPATH=os.pathsep.join((str(ROOT), str(ROOT / "scripts")))),
    )
    tables = [Table(**table) for table in json.loads(done.stdout or "[]")]
    if done.returncode:
        shown = "\n\n".join(table.markdown() for table in tables if table.rows)
        raise StackError(f"the fleet's scenarios ended with {done.returncode}\n{shown}")
    return tables
