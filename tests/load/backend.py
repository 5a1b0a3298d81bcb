"""Backends: REST for conversations and whole turns, the audio socket for speech as it is synthesised."""

import uuid
from functools import cache
from importlib.resources import files
from typing import ClassVar

import gevent
from locust import HttpUser, between, task
from tests.load.connection import Closed, Connection, Refused
from tests.load.conversations import Conversation, Conversations
from tests.load.options import Load, api_key, socket_url
from tests.load.reporter import Reporter

from relay_wire import audio_socket, samples
from relay_wire.pcm import chunk_bytes, chunks, duration_ms

CHUNK_MS = 100
"""Speech in one message, which is sent in this time: as fast as it plays."""
ANSWER_S = 20.0
"""Longest wait for an answer of the audio socket."""


class Backend(HttpUser):
    """A backend that speaks turns in one conversation, and ends it."""

    wait_time = between(0.2, 1.0)
    conversations: ClassVar[Conversations]
    _conversation: Conversation | None = None

    def on_start(self) -> None:
        """Open the conversation."""
        self.client.headers["Authorization"] = f"Bearer {api_key()}"
        self._report = Reporter(self.environment, "backend")
        self._pcm, self._rate = _speech(Load.of(self.environment.parsed_options).speech_s)
        self._open()

    def on_stop(self) -> None:
        """End the conversation, unless it is over."""
        self._end()

    @task(3)
    def stream(self) -> None:
        """Speak a turn through the audio socket."""
        if self._conversation is not None and not self._is_over():
            with gevent.Timeout(ANSWER_S + len(self._pcm) / self._rate, Closed(0)):
                self._stream(self._conversation)

    @task(3)
    def post(self) -> None:
        """Speak a whole turn, and wait until it has played."""
        if self._conversation is None or self._is_over():
            return
        response = self.client.post(
            f"{self._path}/turns", data=self._pcm, name="POST turns",
            headers={"Content-Type": "audio/pcm", "Idempotency-Key": uuid.uuid4().hex},
        )  # fmt: skip
        if response.ok:
            self.conversations.finishing.wait(duration_ms(len(self._pcm), self._rate) / 1000)

    @task(1)
    def interrupt(self) -> None:
        """Interrupt the avatar."""
        if self._conversation is not None and not self._is_over():
            self.client.post(f"{self._path}/interrupt", name="POST interrupt")

    @task(1)
    def read(self) -> None:
        """Read the conversation."""
        if self._conversation is not None and not self._is_over():
            self.client.get(self._path, name="GET conversation")

    @property
    def _path(self) -> str:
        assert self._conversation is not None
        return f"/v1/conversations/{self._conversation.id}"

    def _open(self) -> None:
        response = self.client.post(
            "/v1/conversations", json={"sample_rate": self._rate}, name="POST conversations"
        )
        if response.ok:
            body = response.json()
            self._conversation = Conversation(body["id"], body["stream_url"])
            self._announce("opened", self._conversation)

    def _is_over(self) -> bool:
        """Whether the run finishes: then the conversation is ended, at once."""
        if self.conversations.finishing.is_set():
            self._end()
        return self._conversation is None

    def _end(self) -> None:
        if self._conversation is not None:
            self._announce("ended", self._conversation)
            path, self._conversation = self._path, None
            self.client.delete(path, name="DELETE conversation")

    def _announce(self, what: str, conversation: Conversation) -> None:
        self.environment.runner.send_message(what, conversation._asdict())

    def _stream(self, conversation: Conversation) -> None:
        try:
            speech = Speech(self.environment.host or self.host or "", conversation.id)
        except Refused as refusal:
            self._report.failed("speech", f"status {refusal.status}" if refusal.status else "not reached")
            return
        try:
            with self.environment.events.request.measure("backend", "speech"):
                for piece in chunks(self._pcm, chunk_bytes(CHUNK_MS, self._rate)):
                    speech.send(piece)
                    if self.conversations.finishing.wait(CHUNK_MS / 1000):
                        break  # the rest of the turn is not spoken
                speech.end()
        finally:
            speech.close()


class SpeechRefused(Exception):
    """Raised when control refuses a turn."""


class Speech:
    """One turn on the audio socket.

    Raises:
        Refused: The socket could not be opened.
    """

    def __init__(self, control: str, conversation: str) -> None:
        url = f"{socket_url(control).rstrip('/')}/v1/conversations/{conversation}/audio"
        self._connection = Connection.open(url, headers=[f"Authorization: Bearer {api_key()}"])

    def send(self, pcm: bytes) -> None:
        """Send a piece."""
        self._connection.send(pcm)

    def end(self) -> None:
        """Complete the turn, and wait until all of it is stored, or an interrupt has ended it.

        Raises:
            Closed: The socket has ended.
            SpeechRefused: Control refused the turn.
        """
        self._connection.send(audio_socket.encode(audio_socket.End()))
        while True:
            answer = self._connection.receive()
            if isinstance(answer, str):
                match audio_socket.decode_answer(answer):
                    case audio_socket.Ended() | audio_socket.Interrupted():
                        return
                    case audio_socket.Error(code):
                        raise SpeechRefused(code)

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()


@cache
def _speech(seconds: float) -> tuple[bytes, int]:
    """The clip of the package, its beginning: PCM and its rate."""
    pcm, rate = samples.read(files("relay_cli").joinpath("data/speech.wav").read_bytes(), None, wav=True)
    assert rate is not None
    return pcm[: chunk_bytes(round(seconds * 1000), rate)], rate
