"""Downloads with limits: how large, how long, and from where to where."""

from __future__ import annotations

import http.client
import ssl
import time
from typing import IO, TYPE_CHECKING, BinaryIO
import urllib.error
import urllib.request

from companion_agent import __version__
from companion_agent.updates.release import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds without a byte.
SILENCE = 20.0
# Seconds for everything: 32 MiB over a line of a megabit.
WHOLE = 480.0
CHUNK = 64 * 1024


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows an address to another one, but not out of TLS."""

    max_redirections = 4

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https://") and not newurl.startswith("https://"):
            raise ArtifactError(f"{req.full_url} leads to {newurl}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    # Not build_opener(): that one opens files and FTP too.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def download(
    address: str,
    limit: int,
    target: BinaryIO,
    progress: Callable[[int], None] = lambda _: None,
    accept: str = "*/*",
) -> tuple[str, str]:
    """Write what is at an address into a file.

    Args:
        address: Beginning with https:// or http://.
        limit: Bytes that are accepted.
        target: Where they are written.
        progress: Is told how many bytes have come.
        accept: The types of content that are understood.

    Returns:
        The address at which it was in the end, and the type of the content.

    Raises:
        ArtifactError: It cannot be had, or is larger.
    """
    headers = {"User-Agent": f"pilot-agent/{__version__}", "Accept": accept}
    try:
        request = urllib.request.Request(address, headers=headers)  # noqa: S310  (see the opener)
        until = time.monotonic() + WHOLE
        with _opener().open(request, timeout=SILENCE) as answer:
            got = 0
            while chunk := answer.read(CHUNK):
                got += len(chunk)
                if got > limit:
                    raise ArtifactError(f"{address} is larger than {limit} bytes")
                if time.monotonic() > until:
                    raise ArtifactError(f"{address} took longer than {WHOLE:.0f} s")
                target.write(chunk)
                progress(got)
            return str(answer.url), str(answer.headers.get_content_type())
    except urllib.error.HTTPError as error:
        raise ArtifactError(f"{address} answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise ArtifactError(f"{address} cannot be reached: {error.reason}") from None
    except (ValueError, http.client.HTTPException) as error:
        raise ArtifactError(f"{address} cannot be fetched: {error!r}") from None
    except TimeoutError:
        raise ArtifactError(f"{address} does not answer") from None
    except ConnectionError as error:
        raise ArtifactError(f"{address} broke off: {error.strerror}") from None
