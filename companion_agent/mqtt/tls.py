"""TLS contexts, and errors that say which certificate, name or clock was wrong."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from companion_agent.mqtt.peer import FIRST_BYTES
from companion_agent.storage.plain import open_plain

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.config.settings import Broker, Tls

# OpenSSL's X509_V_ERR_… numbers.
_HOST_MISMATCH = frozenset({62, 64})
_TOO_EARLY = 9
_EXPIRED = 10
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})

# Alerts that brokers send, as OpenSSL names them, and what they mean for us.
_ALERTS = {
    "CERTIFICATE_REQUIRED": "the broker wants a client certificate; set tls.client_cert",
    "HANDSHAKE_FAILURE": "the broker refused the handshake; it may want a client certificate",
    "ALERT_UNKNOWN_CA": "the broker does not trust the authority of the client certificate",
    "ALERT_BAD_CERTIFICATE": "the broker does not accept the client certificate",
    "ALERT_CERTIFICATE_UNKNOWN": "the broker does not accept the client certificate",
    "ALERT_CERTIFICATE_EXPIRED": "the client certificate has expired",
    "ALERT_CERTIFICATE_REVOKED": "the client certificate was revoked",
    "ALERT_DECRYPT_ERROR": "the broker does not accept the client certificate",
    "ALERT_PROTOCOL_VERSION": "the broker does not speak TLS 1.2 or newer",
    "WRONG_VERSION_NUMBER": "this port does not speak TLS",
    "RECORD_LAYER_FAILURE": "this port does not speak TLS",
    "PACKET_LENGTH_TOO_LONG": "this port does not speak TLS",
}


class TlsError(Exception):
    """The certificates that the configuration names cannot be used; the text says which."""


class Socket(ssl.SSLSocket):
    """A socket that remembers the first bytes it received: what TLS carries cannot be peeked at.

    Attributes:
        first: What came first.
    """

    first = b""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive, and remember the beginning."""
        data = super().recv(buflen, flags)
        if len(self.first) < FIRST_BYTES:
            self.first += data
        return data


def context(tls: Tls) -> ssl.SSLContext:
    """Make the context for a broker; it verifies the broker's certificate and name.

    Raises:
        TlsError: A file cannot be read, or does not hold what it should.
    """
    made = ssl.create_default_context()
    if tls.ca_cert:
        # Not the default context: it is stricter from Python 3.13 on than the certificates are
        # that people make for their homes.
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # OpenSSL opens it by itself, and would wait for what a pipe brings.
            open_plain(tls.ca_cert).close()
            made.load_verify_locations(tls.ca_cert)
        except ssl.SSLError as error:
            raise TlsError(f"ca_cert {tls.ca_cert} holds no certificate in PEM form") from error
        except OSError as error:
            raise TlsError(_unreadable("ca_cert", tls.ca_cert, error)) from error
    made.sslsocket_class = Socket
    if tls.client_cert:
        _load_client(made, tls.client_cert, tls.client_key, tls.key_password.reveal())
    return made


def _load_client(made: ssl.SSLContext, cert: Path, key: Path | None, password: str) -> None:
    for name, path in (("client_cert", cert), ("client_key", key)):
        if path is None:
            continue
        try:
            open_plain(path).close()
        except OSError as error:
            raise TlsError(_unreadable(name, path, error)) from error
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        made.load_cert_chain(cert, key, password=password)
    except ssl.SSLError as error:
        reason = error.reason or ""
        holder = key or cert
        if "MISMATCH" in reason:
            raise TlsError(f"client_key {holder} does not belong to client_cert {cert}") from error
        if _is_encrypted(holder):
            problem = "key_password is wrong" if password else "is encrypted: set key_password"
            raise TlsError(f"client_key {holder}: {problem}") from error
        raise TlsError(
            f"client_cert {cert} and client_key {holder} are no certificate and key in PEM form"
        ) from error
    except ValueError as error:  # an encrypted key with a password of no length
        raise TlsError(f"client_key {key or cert} is encrypted: set key_password") from error


def _is_encrypted(path: Path) -> bool:
    return b"ENCRYPTED" in path.read_bytes()


def _unreadable(name: str, path: Path, error: OSError) -> str:
    return f"cannot read {name} {path}: {error.strerror}"


def explain(error: ssl.SSLError, broker: Broker) -> str:
    """Say in words why a TLS connection failed: CA, host name, client certificate or clock."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_verification(error, broker)
    return explain_alert(str(error)) or f"TLS failed: {error.reason or error}"


def explain_alert(text: str) -> str:
    """Say in words what an OpenSSL error text means; empty when it is not a known one."""
    spelled = text.upper().replace(" ", "_")
    for alert, meaning in _ALERTS.items():
        if alert in spelled:
            return meaning
    return ""


def _explain_verification(error: ssl.SSLCertVerificationError, broker: Broker) -> str:
    ca = broker.tls.ca_cert if broker.tls else None
    if error.verify_code in _HOST_MISMATCH:
        return (
            f"the broker's certificate is not for the name {broker.host}; "
            "set host to a name that the certificate is for"
        )
    if error.verify_code == _EXPIRED:
        return "the broker's certificate has expired (or this machine's clock is ahead)"
    if error.verify_code == _TOO_EARLY:
        return "the broker's certificate is not valid yet; is this machine's clock right?"
    if error.verify_code in _UNKNOWN_ISSUER and ca:
        return f"the broker's certificate was not issued by the authority in ca_cert {ca}"
    if error.verify_code in _UNKNOWN_ISSUER:
        return (
            "the broker's certificate was not issued by an authority that this machine trusts; "
            "for a private one set tls.ca_cert"
        )
    return f"the broker's certificate was not accepted: {error.verify_message}"
