"""Pilot's agent: reports a computer to Home Assistant over MQTT."""

__version__ = "0.1.0"
