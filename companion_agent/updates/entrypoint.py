"""Runs a release: `entrypoint.py WHEEL ARGUMENT …`. Part of the base, and called by nothing else.

A script of its own and not `-m`, because the first `companion_agent` that is imported here must
be that of the release.
"""

from __future__ import annotations

from importlib import import_module
import json
import os
from pathlib import Path
import sys


def main() -> int:
    """Run the agent that is in the wheel."""
    wheel = Path(sys.argv.pop(1))
    sys.argv[0] = "pilot-agent"
    # As in `launcher.py`, which cannot be imported here. The base's libraries come after the wheel.
    told = json.loads(os.environ["_PILOT_AGENT_LAUNCHED"])
    sys.path[:] = [str(wheel), *told["path"]]
    code: object
    try:
        # The release's, not that of the base which this file belongs to.
        code = import_module("companion_agent.cli").main()
    except SystemExit as ended:
        code = ended.code or 0
    return code if isinstance(code, int) else 1


if __name__ == "__main__":
    sys.exit(main())
