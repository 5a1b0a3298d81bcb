"""Options: what a run of the load test is, from the command line, the environment or Locust's page.

The API key comes from the environment alone: Locust shows every option on its page, and sends all of them to
its workers.
"""

import os
from argparse import Namespace
from typing import NamedTuple, Protocol, Self
from urllib.parse import urlsplit

from tests.load.stages import SCENARIOS, Scenario
from tests.load.verdict import Limits

CONTROL_URL = "http://127.0.0.1:8081"
KEY_VARIABLE = "LOAD_API_KEY"


class Parser(Protocol):
    """The parser of Locust's command line."""

    def add_argument(self, *names: str, **options: object) -> object:
        """Declare an option; ``env_var`` is the variable of its value."""


def declare(parser: Parser) -> None:
    """Add the options of the load test to Locust's."""
    text, number = {"type": str}, {"type": int}
    parser.add_argument(
        "--scenario", env_var="LOAD_SCENARIO", choices=list(SCENARIOS), default="all",
        help="ramp: nothing breaks; avalanche: all viewers lose their connections at once; rolling: those of"
        " one gateway after the other; all: avalanche, then rolling",
    )  # fmt: skip
    parser.add_argument(
        "--conversations", env_var="LOAD_CONVERSATIONS", default=20, **number,
        help="How many of the users are backends, each with a conversation; started first",
    )  # fmt: skip
    parser.add_argument(
        "--avatarkit-clients", env_var="LOAD_AVATARKIT_CLIENTS", default=6, **number,
        help="How many are clients of AvatarKit at /ws/agent; all further users are viewers",
    )  # fmt: skip
    parser.add_argument(
        "--gateway-urls", env_var="LOAD_GATEWAY_URLS", default="", **text,
        help="Base URLs of gateways, separated by spaces; empty: the one that control returns",
    )  # fmt: skip
    parser.add_argument(
        "--speech-s", env_var="LOAD_SPEECH_S", default=3.0, type=float,
        help="Seconds of speech in a turn, up to the 5 s of the clip in the package",
    )  # fmt: skip
    parser.add_argument(
        "--max-error-share", env_var="LOAD_MAX_ERROR_SHARE", default=0.01, type=float,
        help="The run fails when more of all requests failed; 0.01 is one of a hundred",
    )  # fmt: skip
    parser.add_argument(
        "--max-deliver-ms", env_var="LOAD_MAX_DELIVER_MS", default=0.0, type=float,
        help="The run fails when the 99th percentile of the latency of frames is greater; 0: no limit",
    )  # fmt: skip


class Load(NamedTuple):
    """The options of the current run."""

    scenario: Scenario
    conversations: int
    avatarkit_clients: int
    gateway_urls: tuple[str, ...]
    speech_s: float
    limits: Limits

    @classmethod
    def of(cls, parsed: Namespace) -> Self:
        """Read what Locust has parsed; its page can change that before each run."""
        return cls(
            parsed.scenario,
            parsed.conversations,
            parsed.avatarkit_clients,
            tuple(parsed.gateway_urls.split()),
            parsed.speech_s,
            Limits(parsed.max_error_share, parsed.max_deliver_ms),
        )


def api_key() -> str:
    """The key of control, from the environment."""
    return os.environ.get(KEY_VARIABLE, "")


def control_url() -> str:
    """Where control is, unless ``--host`` or Locust's page has another."""
    return os.environ.get("LOAD_CONTROL_URL", CONTROL_URL)


def socket_url(url: str) -> str:
    """The same address for WebSockets."""
    parts = urlsplit(url)
    return parts._replace(scheme={"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)).geturl()
