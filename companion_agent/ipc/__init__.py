"""The local control socket, by which commands on the host talk to the service."""
