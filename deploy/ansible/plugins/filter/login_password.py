"""The filter `pilot_home.fleet.login_password`."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

from ansible.errors import AnsibleFilterError

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = """
name: login_password
author: Pilot authors
version_added: 0.1.0
short_description: Derives a host's password for the broker from a secret
description:
  - One secret in the vault gives every host a password of its own. From one host's password
    neither the secret nor another host's can be calculated.
positional: login
options:
  _input:
    description: The secret, such as C(openssl rand -base64 32) prints it; 32 characters or more.
    type: str
    required: true
  login:
    description: The login that the password is for.
    type: str
    required: true
"""

EXAMPLES = """
password: "{{ pilot_agent_login_secret | pilot_home.fleet.login_password('9c3f6f0e3a5b4d21') }}"
"""

RETURN = """
_value:
  description: The password, 43 characters.
  type: str
"""


def login_password(secret: str, login: str) -> str:
    """Derive the password of a login (HMAC-SHA256, base64 for addresses).

    Raises:
        AnsibleFilterError: The secret is too short to protect anything.
    """
    if len(str(secret)) < 32:
        raise AnsibleFilterError(
            "the secret that logins are derived from has 32 characters or more; "
            "make one with: openssl rand -base64 32"
        )
    message = f"pilot broker login {login}".encode()
    digest = hmac.digest(str(secret).encode(), message, "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Name the filters."""
        return {"login_password": login_password}
