"""Windows, read by psutil, the registry and its own calls (`companion_agent.winapi`)."""
