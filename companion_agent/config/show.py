"""The configuration as the agent sees it, written as a file that says the same."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import yaml

from companion_agent.buffer.settings import DAY, MIB, BacklogConfig
from companion_agent.plugins.i2c.settings import I2cConfig
from companion_agent.security.policy import Policy
from companion_agent.updates.settings import UpdateConfig

if TYPE_CHECKING:
    from companion_agent.config.model import (
        Broker,
        CollectorConfig,
        Config,
        Tls,
    )
    from companion_agent.plugins.i2c.settings import SensorConfig

HIDDEN = "(hidden)"


def show(config: Config) -> str:
    """Write the configuration as YAML; secrets are hidden."""
    brokers = [_broker(broker) for broker in config.brokers]
    tree: dict[str, Any] = {
        "broker": brokers[0] if len(brokers) == 1 else brokers,
        "topic_prefix": config.topic_prefix,
        "state_dir": str(config.state_dir),
        "home_assistant": {"birth_topic": config.birth_topic},
        "log": {"level": config.log.level, "format": config.log.format},
    }
    if config.name:
        tree["name"] = config.name
    if config.log.parts:
        tree["log"]["parts"] = dict(config.log.parts)
    if config.log.file:
        size = config.log.max_size // MIB
        tree["log"] |= {"file": str(config.log.file), "max_size": size, "keep": config.log.keep}
    if config.collectors:
        tree["collectors"] = {name: _collector(c) for name, c in config.collectors.items()}
    if config.i2c != I2cConfig():
        tree["i2c"] = _i2c(config.i2c)
    if config.backlog != BacklogConfig():
        tree["backlog"] = _backlog(config.backlog)
    if config.commands != Policy():
        tree["commands"] = _commands(config.commands)
    if config.update != UpdateConfig():
        tree["update"] = _update(config.update)
    if config.fleet:
        tree["security"] = {"fleet_key": HIDDEN}
    if config.mirror:
        given = asdict(config.mirror).items()
        tree["mirror"] = {"v1": {key: value for key, value in given if value is not None}}
    head = f"# {config.path or 'from the environment'}\n"
    return head + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _broker(broker: Broker) -> dict[str, Any]:
    shown = {
        "host": broker.host,
        "port": broker.port,
        "username": broker.username,
        "password": HIDDEN if broker.password else "",
        "protocol": broker.protocol,
        "keepalive": broker.keepalive,
        "client_id": broker.client_id,
        "tls": _tls(broker.tls) if broker.tls else "",
    }
    return {key: value for key, value in shown.items() if value != ""}


def _tls(tls: Tls) -> dict[str, str] | bool:
    shown = {
        "ca_cert": tls.ca_cert,
        "client_cert": tls.client_cert,
        "client_key": tls.client_key,
        "key_password": HIDDEN if tls.key_password else None,
    }
    return {key: str(value) for key, value in shown.items() if value} or True


def _collector(collector: CollectorConfig) -> dict[str, Any]:
    shown = {
        "enabled": collector.enabled,
        "interval": collector.interval,
        "include": list(collector.selection.include),
        "exclude": list(collector.selection.exclude),
    }
    return {key: value for key, value in shown.items() if value not in (None, [])}


def _i2c(config: I2cConfig) -> dict[str, Any]:
    return {
        "scan": config.scan,
        "buses": list(config.buses),
        "multiplexers": [_hex(address) for address in config.multiplexers],
        "sensors": [_sensor(sensor) for sensor in config.sensors],
    }


def _sensor(sensor: SensorConfig) -> dict[str, Any]:
    place, tuning = sensor.place, sensor.tuning
    shown: dict[str, Any] = {"type": sensor.type, "bus": place.bus, "address": _hex(place.address)}
    if place.multiplexer is not None:
        shown |= {"multiplexer": _hex(place.multiplexer), "channel": place.channel}
    if sensor.name:
        shown["name"] = sensor.name
    if tuning.interval:
        shown["interval"] = tuning.interval
    shown["average"] = tuning.average
    if tuning.offsets:
        shown["offset"] = dict(tuning.offsets)
    if sensor.type == "ina219":
        shown["shunt"] = sensor.shunt
    return shown


def _hex(address: int) -> str:
    return f"0x{address:02x}"


def _backlog(config: BacklogConfig) -> dict[str, Any]:
    return {
        "enabled": config.enabled,
        "max_age": config.max_age / DAY,
        "max_size": config.max_size // MIB,
        "write_interval": config.write_interval,
    }


def _commands(policy: Policy) -> dict[str, Any]:
    return {
        "allow": list(policy.allow),
        "deny": list(policy.deny),
        "cooldown": dict(policy.cooldown),
        "dry_run": policy.dry_run,
    }


def _update(update: UpdateConfig) -> dict[str, Any]:
    return {
        "source": update.source,
        "keys": [b64encode(key).decode() for key in update.keys],
        "automatic": update.automatic,
        "trial": update.trial,
    }
