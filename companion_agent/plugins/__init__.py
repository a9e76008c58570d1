"""What a host can tell and do, one plug-in for each domain.

A plug-in decides what is reported and how it is rounded; what differs by operating system is
asked of `companion_agent.platforms`.
"""
