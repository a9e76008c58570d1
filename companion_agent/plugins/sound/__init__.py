"""Sound: devices, volume and mute, and whether a microphone is in use."""
