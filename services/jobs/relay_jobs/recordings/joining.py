"""Joining: the parts of a recording become its file and its WAV file. Blocks: it runs in a thread.

Each file appears whole, and only if there is none; the parts are removed when both are there and the
recording has been read again from storage and verified. So it may be repeated, also beside itself, and be
killed anywhere.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

from relay_jobs.recordings import layout
from relay_jobs.recordings.layout import Names
from relay_jobs.storage import AlreadyStored, Storage
from relay_streams.recordings import Claim
from relay_wire import wav
from relay_wire.frame import Codec, Kind
from relay_wire.frame import decode as decode_frame
from relay_wire.position import Position
from relay_wire.recording.blocks import BlockReader, BlockType
from relay_wire.recording.contents import Header, Index
from relay_wire.recording.decoder import RecordingDecoder
from relay_wire.recording.encoder import RecordingEncoder

Go = Callable[[], bool]
"""Whether to go on: the claim holds, and the task was not cancelled."""


class Stopped(Exception):
    """Raised when the work was stopped: another worker has it, or will have it."""


def join(claim: Claim, storage: Storage, go: Go) -> Index:
    """Make the files of a recording whose frames are all copied. Returns its index.

    Raises:
        Stopped: ``go`` was false.
        OSError: The storage cannot be read or written.
        RecordingError: A part is damaged, or the file in storage is; both stay.
    """
    conversation = claim.conversation
    names = Names.of(claim.keys.id, conversation.created_ms)
    header = Header(
        conversation=claim.keys.id,
        avatar_id=conversation.avatar_id,
        sample_rate=conversation.sample_rate,
        codec=int(conversation.codec),
        created_ms=conversation.created_ms,
        agent=conversation.agent,
        talk_over=conversation.talk_over,
    )
    if not storage.exists(names.recording):
        with suppress(AlreadyStored):
            _store_recording(names, header, conversation.last_position, storage, go)
    index = _verify(names, storage, go)
    if conversation.codec is Codec.PCM_S16LE and not storage.exists(names.speech):
        with suppress(AlreadyStored):
            _store_speech(names, header, index, storage, go)
    parts = [file.name for file in storage.files(names.parts)]
    # Whoever still writes one of the unfinished files is late: the whole ones are there.
    storage.remove([*parts, *storage.unfinished(names.recording), *storage.unfinished(names.speech)])
    return index


def _store_recording(names: Names, header: Header, last: Position, storage: Storage, go: Go) -> None:
    parts = [file.name for file in storage.files(names.parts) if _is_whole_part(file.name)]
    encoder = RecordingEncoder(header)
    with storage.create(names.recording) as file:
        file.write(encoder.begin())
        for name in layout.in_order(parts):
            for frame in _frames_of_part(storage.read(name), go):
                file.write(encoder.add(frame))
        file.write(encoder.finish(last))


def _frames_of_part(pieces: Iterator[bytes], go: Go) -> Iterator[bytes]:
    reader = BlockReader()
    for piece in _while(go, pieces):
        for block in reader.feed(piece):
            if block.type == BlockType.FRAME:
                yield block.body
    reader.finish()


def _verify(names: Names, storage: Storage, go: Go) -> Index:
    decoder = RecordingDecoder()
    for piece in _while(go, storage.read(names.recording)):
        for _ in decoder.feed(piece):
            pass
    return decoder.finish()


def _store_speech(names: Names, header: Header, index: Index, storage: Storage, go: Go) -> None:
    decoder = RecordingDecoder()
    with storage.create(names.speech) as file:
        file.write(wav.header(header.sample_rate, index.audio_bytes))
        for piece in _while(go, storage.read(names.recording)):
            for item in decoder.feed(piece):
                if isinstance(item, bytes) and item[1] == Kind.AUDIO:
                    file.write(decode_frame(item).payload)


def _is_whole_part(name: str) -> bool:
    owned = layout.owned(name)
    return owned is not None and owned.is_part and not owned.is_unfinished


def _while(go: Go, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        if not go():
            raise Stopped
        yield piece
