"""Whether a camera is in use, and by which programs of the user: never what it sees."""
