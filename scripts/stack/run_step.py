"""One step of ``scripts/test`` as a process of its own: ``-m stack.run_step NAME RESULT OPTIONS``.

It ends in order on Ctrl-C and on SIGTERM, with all that it has started.
"""

from __future__ import annotations

import json
from pathlib import Path
import signal
import sys

from .steps import STEPS, Options, perform


def main() -> int:
    """Run as a program."""
    name, result, options = sys.argv[1:]
    # Explicitly: what a shell starts in the background ignores Ctrl-C otherwise.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    (step,) = (step for step in STEPS if step.name == name)
    outcome = perform(step, Options(**json.loads(options)))
    outcome.write(Path(result))
    return 0 if outcome.ok else 1


if __name__ == "__main__":
    sys.exit(main())
