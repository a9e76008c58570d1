"""Linux: each module reads one thing of it, and `platform.py` brings them together.

Nothing is imported here: a session helper needs D-Bus and none of what the agent reads.
"""
