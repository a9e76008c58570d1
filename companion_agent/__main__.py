"""`python -m companion_agent`."""

from companion_agent.cli import main

raise SystemExit(main())
