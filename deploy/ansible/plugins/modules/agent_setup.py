#!/usr/bin/python
"""The module `pilot_home.fleet.agent_setup`."""

from __future__ import annotations

DOCUMENTATION = """
module: agent_setup
author: Pilot authors
version_added: 0.1.0
short_description: Sets the installed Pilot agent up, or takes its service away
description:
  - Calls C(pilot-agent setup), which writes what differs, makes the service and starts it.
  - What was written into the configuration by hand stays, unless O(settings) names the same key.
attributes:
  check_mode:
    description: Asks C(pilot-agent setup --check) what would be changed.
    support: full
  diff_mode:
    description: Lists what was changed or would be; secrets and contents are left out.
    support: full
options:
  state:
    description: Whether the service is to be there.
    type: str
    choices: [present, absent]
    default: present
  program:
    description: The agent; where the package or the script puts it when left out.
    type: path
  broker:
    description: The broker's address, such as V(mqtts://mqtt.example), V(mqtt.local:1884)
      or V(wss://proxy.example/mqtt).
    type: str
  username:
    description: The login.
    type: str
  password:
    description: Its password.
    type: str
  ca_cert:
    description: The text of the certificate (PEM) of the only authority to trust.
    type: str
  name:
    description: What the host is shown as.
    type: str
  settings:
    description: Top-level keys of the configuration, which replace those that are there.
    type: dict
    default: {}
  fleet_key:
    description: The fleet key.
    type: str
  untested:
    description: Go on although the broker does not answer.
    type: bool
    default: false
  purge:
    description: With O(state=absent), whether configuration, keys and history go too.
    type: bool
    default: false
"""

EXAMPLES = """
- name: Report to the broker
  pilot_home.fleet.agent_setup:
    broker: mqtts://mqtt.example
    username: 9c3f6f0e3a5b4d21
    password: "{{ password }}"
"""

RETURN = """
changes:
  description: What was changed, or would be.
  type: list
  elements: str
  returned: always
"""

import json
import os
import re
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule

PROGRAMS = ("/usr/bin/pilot-agent", "/usr/local/bin/pilot-agent")
_CHANGES = re.compile(r"^(?:Changed|Would be changed): (.*)\.$", re.MULTILINE)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["present", "absent"], "default": "present"},
            "program": {"type": "path"},
            "broker": {},
            "username": {},
            "password": {"no_log": True},
            "ca_cert": {},
            "name": {},
            "settings": {"type": "dict", "default": {}},
            "fleet_key": {"no_log": True},
            "untested": {"type": "bool", "default": False},
            "purge": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    present = wanted["state"] == "present"
    program = wanted["program"] or next(filter(os.path.exists, PROGRAMS), "")
    if not program and not present:
        module.exit_json(changed=False, changes=[])
    if not program and module.check_mode:
        leave(module, ["configuration and service, once the agent is installed"])
    if not program:
        module.fail_json(msg=f"pilot-agent is not installed: none of {', '.join(PROGRAMS)}")
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as folder:
        arguments = asked(wanted, folder) if present else removal(wanted)
        check = ["--check"] if module.check_mode else []
        code, out, err = module.run_command([program, "setup", "--yes", *arguments, *check])
    if code:
        said = "\n".join(text.strip() for text in (out, err) if text.strip())
        module.fail_json(msg=f"pilot-agent setup failed: {said}", rc=code)
    found = _CHANGES.search(out)
    leave(module, found[1].split(", ") if found else [])


def asked(wanted: dict[str, Any], folder: str) -> list[str]:
    """Return the options, with secrets in files: what stands on a command line, others can read."""
    arguments = ["--no-pair"]
    for key in ("broker", "username", "name"):
        if wanted[key]:
            arguments += [f"--{key}", wanted[key]]
    for key, option in (
        ("password", "--password-file"),
        ("ca_cert", "--ca-cert"),
        ("fleet_key", "--fleet-key-file"),
    ):
        if wanted[key]:
            arguments += [option, put(folder, key, wanted[key])]
    if wanted["settings"]:
        # JSON is YAML as well, and Python has a writer of it.
        arguments += ["--settings", put(folder, "settings", json.dumps(wanted["settings"]))]
    return [*arguments, "--untested"] if wanted["untested"] else arguments


def removal(wanted: dict[str, Any]) -> list[str]:
    """Return the options that take the service away."""
    return ["--remove", "--purge" if wanted["purge"] else "--no-purge"]


def put(folder: str, name: str, text: str) -> str:
    """Write a file that only its owner can read; the folder is gone afterwards."""
    path = os.path.join(folder, name)  # noqa: PTH118  (as modules do)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def leave(module: AnsibleModule, changes: list[str]) -> None:
    """End with what was changed."""
    told = "".join(f"{change}\n" for change in changes)
    module.exit_json(
        changed=bool(changes), changes=changes, diff={"prepared": told} if told else {}
    )


if __name__ == "__main__":
    main()
