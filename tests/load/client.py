"""Clients: what viewers and the vendor's clients share. They watch a conversation for as long as it lasts."""

import time
from abc import ABCMeta, abstractmethod
from collections.abc import Iterator
from itertools import cycle
from typing import Any, ClassVar
from urllib.parse import urlsplit

import gevent
from locust import HttpUser, task
from locust.user.users import UserMeta
from tests.load import verdict
from tests.load.connection import Closed, Connection, Refused
from tests.load.conversations import WAIT_S, Conversation, Conversations
from tests.load.options import Load, api_key, socket_url
from tests.load.reporter import Reporter

from relay_client.backoff import HEALTHY_S, Backoff
from relay_wire import close_codes
from relay_wire.close_codes import CONVERSATION_ENDED, ReconnectAdvice

GIVE_UP_S = 60.0
"""How long connecting may fail before the client gives up."""
_RETRIED = (0, 429, 502, 503, 504)
_GONE = (404, 410)


class _Abstract(ABCMeta, UserMeta):
    """Locust's class of users, with abstract methods."""


class Client(HttpUser, metaclass=_Abstract):
    """A user that watches conversations, one after the other, each to its end over any number of sockets."""

    abstract = True
    kind: ClassVar[str]
    """The request type of what it reports."""
    conversations: ClassVar[Conversations]
    everyone: ClassVar[set["Client"]] = set()
    """The clients of this process that run."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.number = next(self.conversations.numbers)
        self.report = Reporter(environment, self.kind)
        self.role = "listen"
        self.token = ""
        self.whole = True
        """Whether it has received the end of its conversation."""
        self._connection: Connection | None = None
        self._broken_at: float | None = None

    # --- of one kind of clients ------------------------------------------------------------------

    @abstractmethod
    def begin(self) -> None:
        """Begin a conversation."""

    @abstractmethod
    def connect(self, gateway: str, conversation: Conversation) -> Connection:
        """Open a socket. Raises ``Refused``."""

    @abstractmethod
    def receive(self, message: bytes | str) -> bool:
        """Check a message; returns whether the conversation is over."""

    def leaves(self) -> bool:
        """Whether the gateway has requested to connect elsewhere by now."""
        return False

    # --- of all ----------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Join the clients whose connections the scenario cuts."""
        self.client.headers["Authorization"] = f"Bearer {api_key()}"
        self.everyone.add(self)

    def on_stop(self) -> None:
        """Close the socket. A conversation that has ended without its last message here is a loss."""
        self.everyone.discard(self)
        if self.conversations.finishing.is_set() and not self.whole:
            self.report.failed(verdict.UNFINISHED, "the end of the conversation did not come")
        self._close()

    @task
    def watch(self) -> None:
        """Watch one conversation to its end."""
        conversation = self.conversations.choose()
        if conversation is None or not self._get_token(conversation):
            gevent.sleep(WAIT_S)
            return
        self.whole, self._broken_at = False, None
        self.begin()
        self._watch(conversation, self._gateways(conversation))
        self._close()

    def cut(self) -> None:
        """Cut its connection."""
        if self._connection is not None:
            self.report.succeeded(verdict.BREAK)
            self._connection.cut()

    def _get_token(self, conversation: Conversation) -> bool:
        path = f"/v1/conversations/{conversation.id}/tokens"
        with self.client.post(
            path, json={"role": self.role}, name="POST tokens", catch_response=True
        ) as response:
            if response.status_code in _GONE:
                response.success()  # it ended in this moment
                return False
            if response.status_code != 201:
                return False
            self.token = response.json()["token"]
        return True

    def _gateways(self, conversation: Conversation) -> Iterator[str]:
        """Base URLs of gateways, from this client's on, in turn."""
        urls = Load.of(self.environment.parsed_options).gateway_urls or [_base(conversation.stream_url)]
        first = self.number % len(urls)
        return cycle([socket_url(url).rstrip("/") for url in [*urls[first:], *urls[:first]]])

    def _watch(self, conversation: Conversation, gateways: Iterator[str]) -> None:
        backoff = Backoff(GIVE_UP_S)
        while not self.whole:
            began = time.monotonic()
            try:
                self._replace(self._opened(next(gateways), conversation))
                self._read()
            except Refused as refusal:
                advice, after_s = self._on_refusal(refusal), refusal.retry_after_s
            except Closed as closed:
                advice, after_s = self._on_close(closed.code), 0.0
            else:
                continue  # over, or the gateway has requested to connect elsewhere: without a wait
            if time.monotonic() - began >= HEALTHY_S:
                backoff.reset()
            if advice is ReconnectAdvice.FINAL or not self._wait(backoff, advice, after_s):
                return

    def _wait(self, backoff: Backoff, advice: ReconnectAdvice, after_s: float) -> bool:
        """Wait until the next attempt is due; returns whether there is one."""
        wait_s = backoff.next_wait_s(advice, time.monotonic())
        if wait_s is None:
            self.report.failed(verdict.FINAL_CLOSE, "no gateway could be reached")
            return False
        gevent.sleep(after_s + wait_s)
        return True

    def _opened(self, gateway: str, conversation: Conversation) -> Connection:
        began = time.monotonic()
        try:
            connection = self.connect(gateway, conversation)
        except Refused as refusal:
            if refusal.status not in _GONE:
                self.report.failed(
                    verdict.CONNECT, f"status {refusal.status}" if refusal.status else "not reached"
                )
            raise
        self.report.succeeded(verdict.CONNECT, (time.monotonic() - began) * 1000)
        return connection

    def _read(self) -> None:
        """Read until the conversation is over, or the gateway asks to leave. Raises ``Closed``."""
        connection, resumed = self._connection, False
        while connection is not None and not self.leaves():
            message = connection.receive()
            if message is None:
                continue
            if not resumed and self._broken_at is not None:
                self.report.succeeded(verdict.RESUME, (time.monotonic() - self._broken_at) * 1000)
            resumed, self._broken_at = True, None
            if self.receive(message):
                self.whole = True
                return

    def _on_refusal(self, refusal: Refused) -> ReconnectAdvice:
        if refusal.status in _RETRIED:
            return ReconnectAdvice.BACK_OFF
        if refusal.status in _GONE:
            self.whole = True
        else:
            self.report.failed(verdict.FINAL_CLOSE, f"status {refusal.status}")
        return ReconnectAdvice.FINAL

    def _on_close(self, number: int) -> ReconnectAdvice:
        self._broken_at = time.monotonic()
        code = close_codes.of_number(number)
        if code is CONVERSATION_ENDED:
            self.whole = True
        elif code.advice is ReconnectAdvice.FINAL:
            self.report.failed(verdict.FINAL_CLOSE, f"{code.code} {code.name}")
        return code.advice

    def _replace(self, connection: Connection) -> None:
        self._close()
        self._connection = connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _base(stream_url: str) -> str:
    path = urlsplit(stream_url).path
    return stream_url.removesuffix(path) + path.partition("/v1/conversations/")[0]
