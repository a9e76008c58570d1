"""Protocol 2 (`docs/protocol.md`), for hosts and controllers: pure, without I/O.

The same files are in the integration, `custom_components/pilot/protocol`, copied there by
`scripts/sync-protocol`. They import nothing but the standard library and each other.
Messages are named tuples: a frozen dataclass costs the agent two and a half times their memory.
"""
