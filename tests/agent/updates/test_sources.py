"""Releases are found and fetched from wherever they lie, within limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
import functools
import http.server
import io
import json
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from companion_agent.updates import download
from companion_agent.updates.release import ArtifactError
from companion_agent.updates.sources import find, newest

if TYPE_CHECKING:
    from pathlib import Path

    from stack.releases import Maker

Keys = Mapping[str, bytes]


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder, and answers made up for single paths."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, tuple[int, Mapping[str, str], bytes]] = {}
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if (answer := self.server.answers.get(self.path)) is None:
            super().do_GET()
            return
        status, headers, content = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(maker: Maker) -> Iterator[Server]:
    """The share, on a web server."""
    with Server(maker.folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def page(server: Server, maker: Maker) -> Callable[..., str]:
    """Have an index of the releases."""

    def page(*versions: str, kind: str = "html") -> str:
        wheels = [maker.make(version).name for version in versions]
        if kind == "html":
            links = "".join(f'<a href="../{wheel}#sha256=0">{wheel}</a>' for wheel in wheels)
            content, name = f"<html>{links}<a>none</a></html>", "text/html"
        else:
            files = [{"url": f"{server.address}/{wheel}"} for wheel in wheels]
            content, name = json.dumps({"files": files}), "application/vnd.pypi.simple.v1+json"
        server.answers["/pilot-agent/"] = (200, {"Content-Type": name}, content.encode())
        return server.address

    return page


def fetched(source: str, keys: Keys, tmp_path: Path, address: str = "") -> str:
    found = find(source, address)
    manifest = newest(found, keys)
    assert manifest
    found.copy(manifest, tmp_path / "wheel", lambda _: None)
    assert (tmp_path / "wheel").stat().st_size == manifest.size
    return manifest.version


def test_a_folder(maker: Maker, keys: Keys, tmp_path: Path) -> None:
    for version in ("0.9.0", "0.10.0"):
        maker.make(version)
    (maker.folder / "pilot_agent-7.0.0-py3-none-any.whl").touch()  # nothing is signed about it

    assert fetched(str(maker.folder), keys, tmp_path) == "0.10.0"


@pytest.mark.parametrize("kind", ["html", "json"])
def test_an_index(kind: str, page: Callable[..., str], keys: Keys, tmp_path: Path) -> None:
    assert fetched(page("0.9.0", "0.10.0", kind=kind), keys, tmp_path) == "0.10.0"


def test_an_address(server: Server, maker: Maker, keys: Keys, tmp_path: Path) -> None:
    wheel = maker.make("1.0.0")

    assert fetched("homeassistant", keys, tmp_path, f"{server.address}/{wheel.name}") == "1.0.0"


def test_what_is_not_signed_is_passed_over(maker: Maker, keys: Keys, tmp_path: Path) -> None:
    maker.make("0.9.0")
    bad = maker.make("0.10.0")
    bad.with_name(f"{bad.name}.json").write_text("{}")

    assert fetched(str(maker.folder), keys, tmp_path) == "0.9.0"


def test_nothing_that_is_signed(maker: Maker, keys: Keys) -> None:
    assert newest(find(str(maker.folder)), keys) is None
    bad = maker.make("0.10.0")
    bad.with_name(f"{bad.name}.json").write_text("{}")

    with pytest.raises(ArtifactError, match=r"version 0\.10\.0: "):
        newest(find(str(maker.folder)), keys)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "file:///etc/passwd",
        "http://h/other.whl",
        "http://[h/pilot_agent-1.0.0-py3-none-any.whl",
    ],
)
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ArtifactError, match="install it there"):
        find("homeassistant", address)


def test_a_link_of_an_index_that_leads_nowhere_is_passed_over(
    page: Callable[..., str], server: Server, keys: Keys, tmp_path: Path
) -> None:
    address = page("0.9.0")
    code, headers, content = server.answers["/pilot-agent/"]
    server.answers["/pilot-agent/"] = (code, headers, b'<a href="http://[">x</a>' + content)

    assert fetched(address, keys, tmp_path) == "0.9.0"


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'{"files": [1]}',
        b'{"files": [{}]}',
        pytest.param(b"[" * 100_000, id="nested without end"),
    ],
)
def test_an_index_that_is_none(content: bytes, server: Server, keys: Keys) -> None:
    headers = {"Content-Type": "application/json"}
    server.answers["/pilot-agent/"] = (200, headers, content)

    with pytest.raises(ArtifactError, match="no list of files"):
        newest(find(server.address), keys)


def test_a_folder_that_is_away(tmp_path: Path, keys: Keys) -> None:
    # Windows says it in the user's language.
    why = "" if sys.platform == "win32" else "No such file"
    with pytest.raises(ArtifactError, match=f"away cannot be read: {why}"):
        newest(find(str(tmp_path / "away")), keys)


# --- Downloads -------------------------------------------------------------------------------


def test_larger_than_it_may_be(server: Server) -> None:
    server.answers["/big"] = (200, {}, b"x" * 1001)
    got = io.BytesIO()

    with pytest.raises(ArtifactError, match="larger than 1000 bytes"):
        download.download(f"{server.address}/big", 1000, got)
    assert not got.getvalue()


def test_what_is_not_there(server: Server) -> None:
    with pytest.raises(ArtifactError, match="answers 404"):
        download.download(f"{server.address}/none", 1000, io.BytesIO())


def test_a_source_that_does_not_answer() -> None:
    with pytest.raises(ArtifactError, match="cannot be reached"):
        download.download("http://127.0.0.1:1/", 1000, io.BytesIO())


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/file"])
def test_it_leads_nowhere_else(server: Server, target: str) -> None:
    server.answers["/moved"] = (302, {"Location": target}, b"")

    with pytest.raises(ArtifactError):
        download.download(f"{server.address}/moved", 1000, io.BytesIO())


def test_it_does_not_lead_out_of_tls() -> None:
    import urllib.request

    request = urllib.request.Request("https://updates.example/a")
    with pytest.raises(ArtifactError, match="not encrypted"):
        download._Redirects().redirect_request(
            request,
            io.BytesIO(),
            302,
            "",
            {},
            "http://updates.example/a",  # type: ignore[arg-type]
        )


@pytest.mark.parametrize("address", ["file:///etc/hostname", "gopher://h/", "https://"])
def test_other_addresses_are_not_opened(address: str) -> None:
    with pytest.raises(ArtifactError):
        download.download(address, 1000, io.BytesIO())
