"""The active window, for owners who allow it: title, program, and whether it fills the screen."""
