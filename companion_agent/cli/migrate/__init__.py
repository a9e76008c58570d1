"""`pilot-agent migrate`: from a set-up of Pilot's first version to a configuration, and back."""
