"""Which keys of the first version are meant, and what becomes of each.

The first version had its values written into the code, so that every house named them its own
way. The table therefore knows many names for a thing; what it does not know is said.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.cli.migrate.mapping import SENSORS, Left, Taker

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.cli.migrate.v1_config import Entry


class Rule(NamedTuple):
    """Which keys are meant, in the form of `normal()`, and who takes them."""

    names: str
    take: Callable[[Taker, Entry, re.Match[str]], str]


def left(why: str) -> Callable[[Taker, Entry, re.Match[str]], str]:
    """Make a taker of what has no counterpart."""

    def take(_mapper: Taker, _entry: Entry, _match: re.Match[str]) -> str:
        raise Left(why)

    return take


_B = r"(?:mqtt_broker_|mqtt_server_|mqtt_|broker_|server_)"
_T = rf"(?:{_B}?(?:tls_|ssl_)?)"
_SENSOR = "|".join(sorted((*SENSORS, "gpu", "gpu_temp"), key=len, reverse=True))
_SECTION = r"(?:(?:sensors?|telemetry|metrics|collectors?|readings)_)?"
_EVERY = (
    r"(?:(?:update|telemetry|publish|polling|poll|scan|read|refresh|report)_)?"
    r"(?:intervals?|period|rate)(?:_(?:s|sec|seconds))?"
)
_COMMANDS = r"(?:(?:commands?|security|policy|security_policy)_)?"

RULES = (
    # The broker.
    Rule(rf"mqtt|broker|mqtt_broker|mqtt_server|server|{_B}?(?:host|address|url|uri|server)|"
         rf"{_B}(?:hostname|name|ip)", Taker.address),
    Rule(rf"(?P<port>{_B}?port)", Taker.broker),
    Rule(rf"(?P<username>{_B}?(?:user|username|user_name|login))", Taker.broker),
    Rule(rf"{_B}?(?:password|pass|passwd|pw)", Taker.password),
    Rule(rf"{_B}?(?:password|pass|passwd)_file", Taker.password_file),
    Rule(rf"{_B}?(?:client_id|clientid|client_name)",
         left("two connections with one client id put each other out, and v1 may still run; set "
              "broker.client_id when it has gone, if the broker asks for it")),
    Rule(rf"(?P<keepalive>{_B}?(?:keepalive|keep_alive)(?:_s|_seconds)?)", Taker.broker),
    Rule(rf"(?P<protocol>{_B}?(?:protocol|protocol_version|mqtt_version)|{_B}version)",
         Taker.broker),
    Rule(rf"{_B}?(?:use_|enable_)?(?:tls|ssl)(?:_enabled|_enable)?", Taker.encrypted),
    Rule(rf"(?P<ca_cert>{_T}(?:ca|cacert|ca_certs?|ca_file|cafile|ca_path|ca_certificate|"
         rf"ca_certs?_file))", Taker.tls),
    Rule(rf"(?P<client_cert>{_T}(?:client_cert|client_certificate|client_cert_file|certfile|"
         rf"cert_file|cert|certificate|crt))", Taker.tls),
    Rule(rf"(?P<client_key>{_T}(?:client_key|client_key_file|keyfile|key_file|private_key)|"
         rf"(?:{_B}|(?:{_B}?(?:tls|ssl)_))key)", Taker.tls),
    Rule(rf"(?P<key_password>{_T}(?:client_key|keyfile|key)_(?:password|passphrase))", Taker.tls),
    Rule(rf"{_T}(?:insecure|skip_verify|verify|verify_cert|check_hostname|cert_reqs)",
         left("the broker's certificate is always verified, there is no switch for it")),
    Rule(rf"{_B}?(?:qos|retain|retained|clean_session|reconnect_delay|.*heartbeat.*)",
         left("the protocol fixes it: states are retained and repeated")),
    # The host and its topics.
    Rule(r"friendly_name|display_name|name|device_friendly_name", Taker.name),
    Rule(r"device|device_(?:name|id)|node|node_(?:name|id)|host_name|mqtt_device(?:_name|_id)?",
         Taker.device),
    Rule(r"hostname", left("may be the broker's name or this host's; use --device, or rename it")),
    Rule(rf"{_B}?(?:topics?_)?(?:prefix|base|root)|{_B}?(?:base|root)_topic|{_B}?topic",
         Taker.prefix),
    Rule(rf"{_B}?(?:availability|lwt|will|status)(?:_topic)?", Taker.availability),
    Rule(rf"{_B}?(?:(?:availability|lwt|will|birth|payload)_)+.*",
         left("the mirror says online and offline, as Home Assistant expects")),
    # Commands.
    Rule(rf"{_COMMANDS}(?P<deny>denylist|deny_list|deny|blacklist|blocklist|denied_commands)|"
         rf"{_COMMANDS}(?:allow|allowlist|allow_list|whitelist|allowed|enabled|supported)"
         rf"(?:_commands)?|commands?|commands?_(?:allowlist|list)", Taker.allow),
    Rule(rf"{_COMMANDS}(?:(?P<before>(?!command)\w+?)_)?(?:cooldown|cool_down)"
         rf"(?:_(?:s|sec|seconds))?(?:_(?P<after>\w+))?", Taker.cooldown),
    Rule(rf"{_COMMANDS}(?:dry_run|dryrun|simulate)", Taker.dry_run),
    Rule(r".*(?:hmac|shared_secret|secret_key|signing).*|secret",
         left("commands are signed with a key that pairing makes: pilot-agent pair")),
    # Readings.
    Rule(rf"{_SECTION}{_EVERY}|{_SECTION}(?P<before>{_SENSOR})_{_EVERY}|"
         rf"{_SECTION}{_EVERY}_(?P<after>{_SENSOR})", Taker.interval),
    Rule(rf"{_SECTION}(?:(?P<before>{_SENSOR})_(?:enabled?|on)|"
         rf"(?:enabled?_)(?P<after>{_SENSOR}))", Taker.enabled),
    Rule(r"(?:enabled_)?(?:sensors?|metrics|telemetry|readings)(?:_(?:enabled|list))?",
         left("every collector works that finds something; switch off what is not wanted with "
              "collectors.<collector>.enabled")),
    Rule(r".*(?:proxmox|pve|vms?)(?:_.*)?", left("virtual machines are not read yet")),
    # Logs.
    Rule(r"(?:log|logging)_?level|logging|log", Taker.level),
    Rule(r"debug|verbose", Taker.debug),
    Rule(r"(?:log|logging)_format|(?P<switch>(?:log|logging)_json|json_logs?)", Taker.format),
    Rule(r"(?:log|logging)_.*",
         left("the agent writes to the journal or standard error, which keep and rotate")),
    # Home Assistant.
    Rule(r"(?:ha|hass|home_?assistant)_(?:birth|status)(?:_topic)?", Taker.birth),
    Rule(r"(?:ha_|hass_|home_?assistant_|mqtt_|enable_)*(?:auto_)?discovery(?:_.*)?",
         left("the integration finds hosts by itself")),
    Rule(r"(?:ha|hass|home_?assistant)_.*", left("the agent speaks to the broker only")),
    Rule(r"(?:web|ui|gui|dashboard|http|api)_.*",
         left("Home Assistant is what shows and commands")),
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
