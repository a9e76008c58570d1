"""A web proxy in front of a broker, as people have one in front of Home Assistant."""

from __future__ import annotations

import getpass
import subprocess
from typing import TYPE_CHECKING

from .agent_mqtt import free_port, wait_for_port

if TYPE_CHECKING:
    from pathlib import Path

    from .agent_mqtt import Certificates

PATH = "/broker/mqtt"


class Nginx:
    """An nginx that passes the WebSocket at `PATH` on to a broker's port.

    Args:
        program: Its path.
        folder: For its configuration and its log.
        upstream: The broker's port.
        certificates: What it shows its clients; without encryption when `None`.
        address: What it listens on.
        upstream_path: The broker's own path; the proxy's where it is empty.
    """

    def __init__(
        self,
        program: str,
        folder: Path,
        upstream: int,
        certificates: Certificates | None = None,
        address: str = "127.0.0.1",
        upstream_path: str = "",
    ) -> None:
        self.port = free_port()
        self._address = address
        self._log = folder / f"nginx-{self.port}.log"
        config = folder / f"nginx-{self.port}.conf"
        host = f"[{address}]" if ":" in address else address
        encryption = ""
        if certificates:
            encryption = (
                f"ssl_certificate {certificates.server};"
                f"ssl_certificate_key {certificates.server_key};"
            )
        config.write_text(
            f"""
            daemon off;
            user {getpass.getuser()};
            pid {folder}/nginx-{self.port}.pid;
            worker_processes 1;
            events {{}}
            http {{
              access_log off;
              {self._folders(folder)}
              server {{
                listen {host}:{self.port}{" ssl" if certificates else ""};
                {encryption}
                location = {PATH} {{
                  proxy_pass http://127.0.0.1:{upstream}{upstream_path};
                  proxy_http_version 1.1;
                  proxy_set_header Upgrade $http_upgrade;
                  proxy_set_header Connection "upgrade";
                }}
                location = /moved {{ return 301 https://elsewhere.example/mqtt; }}
                location = /forbidden {{ return 403; }}
                location = /page {{ return 200 "hello"; }}
              }}
            }}
            """,
            "utf-8",
        )
        self._command = [program, "-e", str(self._log), "-c", str(config)]
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def _folders(folder: Path) -> str:
        """Keep it out of the system's folders, which only root may write to."""
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        return "".join(f"{kind}_temp_path {folder}/nginx-{kind};" for kind in kinds)

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        wait_for_port(self._address, self.port, self._process, self._log)

    def stop(self) -> None:
        """End it; the connections that it carried end too."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None
