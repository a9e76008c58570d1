"""What the agent takes of paho, and the only place that imports it.

paho loads `urllib.request` for proxies, and with it HTTP and e-mail, and `uuid` for clients without
an id: 1.4 MiB. It asks for the one only where PySocks is installed, and for the other never here.
"""

from __future__ import annotations

from importlib import import_module
import sys
from types import ModuleType


class _LoadedWhenUsed(ModuleType):
    """Stands for a module until something of it is asked for."""

    # `LazyLoader` of `importlib` loads at once here: where a module is imported again, its
    # specification is looked at, which counts as using it.
    def __getattr__(self, name: str) -> object:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def _load_when_used(name: str) -> None:
    if name not in sys.modules:
        module = sys.modules[name] = _LoadedWhenUsed(name)
        package, _, attribute = name.rpartition(".")
        if package:
            setattr(import_module(package), attribute, module)


_load_when_used("urllib.request")
_load_when_used("uuid")

from paho.mqtt.client import (  # noqa: E402
    MQTT_LOG_ERR,
    Client,
    MQTTMessage,
    WebsocketConnectionError,
    topic_matches_sub,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion  # noqa: E402
from paho.mqtt.subscribeoptions import SubscribeOptions  # noqa: E402

__all__ = [
    "MQTT_LOG_ERR",
    "CallbackAPIVersion",
    "Client",
    "MQTTErrorCode",
    "MQTTMessage",
    "MQTTProtocolVersion",
    "SubscribeOptions",
    "WebsocketConnectionError",
    "topic_matches_sub",
]
