"""The session helper: what needs a user's desktop, done in that user's session for the agent."""
