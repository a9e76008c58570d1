"""``scripts/demo``: prepares the environment, then hands over to :mod:`stack.demo`."""

from __future__ import annotations

import os
import sys

from . import toolchain
from .console import StackError, fail
from .options import make_demo_folder, parse_demo
from .paths import ROOT


def main() -> int:
    """Run as a program; does not return when all is well."""
    # Before anything is downloaded for a command line that is wrong.
    options = parse_demo(sys.argv[1:])
    try:
        make_demo_folder(options)
        python = toolchain.python_of("homeassistant")
        toolchain.environment("agent-3.14")
    except StackError as error:
        fail(error)
        return 1
    except KeyboardInterrupt:
        return 130
    env = toolchain.clean_env(PYTHONPATH=str(ROOT / "scripts"))
    # In our place: one process to signal, and to be the parent of all others.
    command = [str(python), "-m", "stack.demo", *sys.argv[1:]]
    return os.execve(python, command, env)


if __name__ == "__main__":
    sys.exit(main())
