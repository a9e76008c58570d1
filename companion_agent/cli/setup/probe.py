"""Tries a broker as `doctor` does, and says which answer would help."""

from __future__ import annotations

from dataclasses import dataclass, replace
import logging
from typing import TYPE_CHECKING, Literal

from companion_agent import identity, platforms
from companion_agent.cli import doctor
from companion_agent.config import Tls, default_state_dir
from companion_agent.config.settings import usual_port
from companion_agent.protocol.topics import DEFAULT_PREFIX, Topics

if TYPE_CHECKING:
    from companion_agent.cli.doctor import Check
    from companion_agent.config import Broker, Config

Cure = Literal["login", "authority", "address"]

_BIRTH = "homeassistant/status"


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a try.

    Attributes:
        broker: The broker as it was reached, which may be by TLS although that was not asked for.
        checks: What was looked at.
    """

    broker: Broker
    checks: tuple[Check, ...]

    @property
    def problems(self) -> list[Check]:
        """What does not work."""
        return [check for check in self.checks if check.verdict == "bad"]

    @property
    def cure(self) -> Cure | None:
        """What another answer could mend; `None` where everything works."""
        if not self.problems:
            return None
        detail = self.problems[0].detail
        if "login" in detail:
            return "login"
        if "was not issued by" in detail:
            return "authority"
        return "address"


def attempt(broker: Broker, config: Config | None, *, may_encrypt: bool) -> Trial:
    """Try a broker.

    Args:
        broker: The broker.
        config: The configuration so far.
        may_encrypt: Whether it may also be tried with TLS, at the port for that.
    """
    # What goes wrong is in the checks.
    logging.getLogger("companion_agent").setLevel(logging.CRITICAL)
    folder = config.state_dir if config else default_state_dir()
    host = identity.known_host_id(folder, platforms.current())
    topics = Topics(config.topic_prefix if config else DEFAULT_PREFIX, host)
    birth = config.birth_topic if config else _BIRTH
    trial = Trial(broker, tuple(doctor.check_broker(broker, topics, birth)))
    if may_encrypt and broker.tls is None and trial.cure == "address":
        spoken_here = "speaks TLS" in trial.problems[0].detail
        port = broker.port if spoken_here else usual_port(broker.transport, encrypted=True)
        encrypted = replace(broker, port=port, tls=Tls())
        other = Trial(encrypted, tuple(doctor.check_broker(encrypted, topics, birth)))
        # A broker that shows a certificate is there, even where it is not trusted yet.
        if other.cure != "address" or "certificate" in other.problems[0].detail:
            return other
    return trial
