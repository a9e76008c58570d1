#!/usr/bin/python
"""The module `pilot_home.fleet.mosquitto_login`."""

from __future__ import annotations

DOCUMENTATION = """
module: mosquitto_login
author: Pilot authors
version_added: 0.1.0
short_description: Keeps one login in a password file of Mosquitto
description:
  - Changes the file only where the password is another; C(mosquitto_passwd) would write it anew,
    with another salt, each time.
  - The broker reads the file again when it is reloaded.
attributes:
  check_mode:
    description: Says what would be changed.
    support: full
  diff_mode:
    description: Names the login; hashes are left out.
    support: full
options:
  path:
    description: The password file; it is made when it is missing.
    type: path
    required: true
  login:
    description: The login.
    type: str
    required: true
  password:
    description: Its password; needed unless O(state=absent).
    type: str
  state:
    description: Whether the login is to be there.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - ansible.builtin.files
"""

EXAMPLES = """
- name: A login for Home Assistant
  pilot_home.fleet.mosquitto_login:
    path: /etc/mosquitto/pilot.passwords
    login: homeassistant
    password: "{{ password }}"
    owner: root
    group: mosquitto
    mode: "0640"
"""

RETURN = """# Nothing but what every module returns."""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import tempfile

from ansible.module_utils.basic import AnsibleModule

# As mosquitto_passwd of Mosquitto 2.0 writes them: $7$ITERATIONS$SALT$HASH, PBKDF2 with SHA-512.
_KIND = "7"
_ITERATIONS = 101
_SALT_BYTES = 12


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "login": {"required": True},
            "password": {"no_log": True},
            "state": {"choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["password"])],
        add_file_common_args=True,
        supports_check_mode=True,
    )
    path, login = module.params["path"], module.params["login"]
    if ":" in login or "\n" in login or not login:
        module.fail_json(msg=f"a login has no colon and no line feed: {login!r}")
    lines = read(module, path)
    kept = [line for line in lines if line.partition(":")[0] != login]
    there = [line.partition(":")[2] for line in lines if line.partition(":")[0] == login]
    if module.params["state"] == "absent":
        wanted = kept
    elif len(there) == 1 and fits(there[0], module.params["password"]):
        wanted = lines
    else:
        wanted = [*kept, f"{login}:{hashed(module.params['password'])}"]
    changed = wanted != lines
    if changed and not module.check_mode:
        write(module, path, wanted)
    missing = module.check_mode and not os.path.exists(path)  # noqa: PTH110
    if not missing:
        arguments = module.load_file_common_arguments(module.params)
        changed = module.set_fs_attributes_if_different(arguments, changed)
    verb = "removed" if module.params["state"] == "absent" else "set"
    diff = {"prepared": f"{path}: {login} {verb}\n"} if wanted != lines else {}
    module.exit_json(changed=changed, diff=diff)


def read(module: AnsibleModule, path: str) -> list[str]:
    """Read the lines of the file; none where there is no file."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return file.read().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        module.fail_json(msg=f"{path} cannot be read: {error}")
        return []


def write(module: AnsibleModule, path: str, lines: list[str]) -> None:
    """Write the file in one step: a broker that reads it meanwhile sees all or nothing."""
    folder = os.path.dirname(path)  # noqa: PTH120
    if not os.path.isdir(folder):  # noqa: PTH112
        module.fail_json(msg=f"there is no folder {folder}; is Mosquitto installed?")
    descriptor, fresh = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    module.atomic_move(fresh, path)


def hashed(password: str) -> str:
    """Hash a password as Mosquitto does."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    words = [base64.b64encode(part).decode() for part in (salt, digest)]
    return "$".join(["", _KIND, str(_ITERATIONS), *words])


def fits(stored: str, password: str) -> bool:
    """Tell whether a password is the one that was hashed; of other kinds of hashes it is not."""
    try:
        _, kind, iterations, salt, digest = stored.split("$")
        if kind != _KIND:
            return False
        derived = hashlib.pbkdf2_hmac(
            "sha512", password.encode(), base64.b64decode(salt), int(iterations)
        )
        return hmac.compare_digest(derived, base64.b64decode(digest))
    except (ValueError, binascii.Error):
        return False


if __name__ == "__main__":
    main()
