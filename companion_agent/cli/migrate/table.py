"""Which keys of the first version are meant, and what becomes of each.

The first version had its values written into the code, so that every house named them its own
way. The table therefore knows many names for a thing; what it does not know is said.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.cli.migrate.mapping import SENSORS, Mapper, Unmapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.cli.migrate.v1_config import Entry


class Rule(NamedTuple):
    """Which keys are meant, in the form of `normal()`, and what carries their values over."""

    names: str
    map: Callable[[Mapper, Entry, re.Match[str]], str]


def unmapped(why: str) -> Callable[[Mapper, Entry, re.Match[str]], str]:
    """Return a rule's function for what has no counterpart."""

    def refuse(_mapper: Mapper, _entry: Entry, _match: re.Match[str]) -> str:
        raise Unmapped(why)

    return refuse


_B = r"(?:mqtt_broker_|mqtt_server_|mqtt_|broker_|server_)"
_T = rf"(?:{_B}?(?:tls_|ssl_)?)"
_SENSOR = "|".join(sorted(SENSORS, key=len, reverse=True))
_SECTION = r"(?:(?:sensors?|telemetry|metrics|collectors?|readings)_)?"
_EVERY = (
    r"(?:(?:update|telemetry|publish|polling|poll|scan|read|refresh|report)_)?"
    r"(?:intervals?|period|rate)(?:_(?:s|sec|seconds))?"
)
_COMMANDS = r"(?:(?:commands?|security|policy|security_policy)_)?"

RULES = (
    # The broker.
    Rule(rf"mqtt|broker|mqtt_broker|mqtt_server|server|{_B}?(?:host|address|url|uri|server)|"
         rf"{_B}(?:hostname|name|ip)", Mapper.address),
    Rule(rf"(?P<port>{_B}?port)", Mapper.broker),
    Rule(rf"(?P<username>{_B}?(?:user|username|user_name|login))", Mapper.broker),
    Rule(rf"{_B}?(?:password|pass|passwd|pw)", Mapper.password),
    Rule(rf"{_B}?(?:password|pass|passwd)_file", Mapper.password_file),
    Rule(rf"{_B}?(?:client_id|clientid|client_name)",
         unmapped("two connections with one client id put each other out, and v1 may still run; "
              "set broker.client_id when it has gone, if the broker asks for it")),
    Rule(rf"(?P<keepalive>{_B}?(?:keepalive|keep_alive)(?:_s|_seconds)?)", Mapper.broker),
    Rule(rf"(?P<protocol>{_B}?(?:protocol|protocol_version|mqtt_version)|{_B}version)",
         Mapper.broker),
    Rule(rf"{_B}?(?:use_|enable_)?(?:tls|ssl)(?:_enabled|_enable)?", Mapper.encrypted),
    Rule(rf"(?P<ca_cert>{_T}(?:ca|cacert|ca_certs?|ca_file|cafile|ca_path|ca_certificate|"
         rf"ca_certs?_file))", Mapper.tls),
    Rule(rf"(?P<client_cert>{_T}(?:client_cert|client_certificate|client_cert_file|certfile|"
         rf"cert_file|cert|certificate|crt))", Mapper.tls),
    Rule(rf"(?P<client_key>{_T}(?:client_key|client_key_file|keyfile|key_file|private_key)|"
         rf"(?:{_B}|(?:{_B}?(?:tls|ssl)_))key)", Mapper.tls),
    Rule(rf"(?P<key_password>{_T}(?:client_key|keyfile|key)_(?:password|passphrase))", Mapper.tls),
    Rule(rf"{_T}(?:insecure|skip_verify|verify|verify_cert|check_hostname|cert_reqs)",
         unmapped("the broker's certificate is always verified, there is no switch for it")),
    Rule(rf"{_B}?(?:qos|retain|retained|clean_session|reconnect_delay|.*heartbeat.*)",
         unmapped("the protocol fixes it: states are retained and repeated")),
    # The host and its topics.
    Rule(r"friendly_name|display_name|name|device_friendly_name", Mapper.name),
    Rule(r"device|device_(?:name|id)|node|node_(?:name|id)|host_name|mqtt_device(?:_name|_id)?",
         Mapper.device),
    Rule(r"hostname",
         unmapped("may be the broker's name or this host's; use --device, or rename it")),
    Rule(rf"{_B}?(?:topics?_)?(?:prefix|base|root)|{_B}?(?:base|root)_topic|{_B}?topic",
         Mapper.prefix),
    Rule(rf"{_B}?(?:availability|lwt|will|status)(?:_topic)?", Mapper.availability),
    Rule(rf"{_B}?(?:(?:availability|lwt|will|birth|payload)_)+.*",
         unmapped("the mirror says online and offline, as Home Assistant expects")),
    # Commands.
    Rule(rf"{_COMMANDS}(?P<deny>denylist|deny_list|deny|blacklist|blocklist|denied_commands)|"
         rf"{_COMMANDS}(?:allow|allowlist|allow_list|whitelist|allowed|enabled|supported)"
         rf"(?:_commands)?|commands?|commands?_(?:allowlist|list)", Mapper.allow),
    Rule(rf"{_COMMANDS}(?:(?P<before>(?!command)\w+?)_)?(?:cooldown|cool_down)"
         rf"(?:_(?:s|sec|seconds))?(?:_(?P<after>\w+))?", Mapper.cooldown),
    Rule(rf"{_COMMANDS}(?:dry_run|dryrun|simulate)", Mapper.dry_run),
    Rule(r".*(?:hmac|shared_secret|secret_key|signing).*|secret",
         unmapped("commands are signed with a key that pairing makes: pilot-agent pair")),
    # Readings.
    Rule(rf"{_SECTION}{_EVERY}|{_SECTION}(?P<before>{_SENSOR})_{_EVERY}|"
         rf"{_SECTION}{_EVERY}_(?P<after>{_SENSOR})", Mapper.interval),
    Rule(rf"{_SECTION}(?:(?P<before>{_SENSOR})_(?:enabled?|on)|"
         rf"(?:enabled?_)(?P<after>{_SENSOR}))", Mapper.enabled),
    Rule(r"(?:enabled_)?(?:sensors?|metrics|telemetry|readings)(?:_(?:enabled|list))?",
         unmapped("every collector works that finds something; switch off what is not wanted with "
              "collectors.<collector>.enabled")),
    Rule(r".*(?:proxmox|pve|vms?)(?:_.*)?", unmapped("virtual machines are not read yet")),
    # Logs.
    Rule(r"(?:log|logging)_?level|logging|log", Mapper.level),
    Rule(r"debug|verbose", Mapper.debug),
    Rule(r"(?:log|logging)_format|(?P<switch>(?:log|logging)_json|json_logs?)", Mapper.format),
    Rule(r"(?:log|logging)_.*",
         unmapped("the agent writes to the journal or standard error, which keep and rotate")),
    # Home Assistant.
    Rule(r"(?:ha|hass|home_?assistant)_(?:birth|status)(?:_topic)?", Mapper.birth),
    Rule(r"(?:ha_|hass_|home_?assistant_|mqtt_|enable_)*(?:auto_)?discovery(?:_.*)?",
         unmapped("the integration finds hosts by itself")),
    Rule(r"(?:ha|hass|home_?assistant)_.*", unmapped("the agent speaks to the broker only")),
    Rule(r"(?:web|ui|gui|dashboard|http|api)_.*",
         unmapped("Home Assistant is what shows and commands")),
)  # fmt: skip


def is_about_all(name: str) -> bool:
    """Tell whether a key is the time between two readings of everything."""
    return bool(re.fullmatch(f"{_SECTION}{_EVERY}", name))


def find(name: str) -> tuple[Rule, re.Match[str]] | None:
    """Find out what a key is, by its name in the form of `normal()`."""
    for rule in RULES:
        if found := re.fullmatch(rule.names, name):
            return rule, found
    return None
