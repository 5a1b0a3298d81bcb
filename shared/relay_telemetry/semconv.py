"""Names of spans, their events and their attributes: OpenTelemetry's messaging conventions, and ours.

A span's name has an operation and its destination, the up-stream or the down-stream, and never an id.
"""

# Spans. One trace has one turn.
SEND_UP = "send up"
"""Speech or text of a turn is stored in the up-stream. PRODUCER; control, gateway or agent."""
PROCESS_UP = "process up"
"""The owner handles the turn. CONSUMER; its parent sent the turn's first speech, its links sent more."""
MOTION = "motion"
"""The turn's request at the Motion server. CLIENT, child of ``PROCESS_UP``."""
SEND_DOWN = "send down"
"""The turn's frames are appended to the down-stream, first to last. PRODUCER, child of ``PROCESS_UP``."""
PROCESS_DOWN = "process down"
"""A gateway writes the turn's frames to viewers. CONSUMER; its parent is the context on the frames."""
SEND_TASK = "send tasks"
"""A task that follows from an event is sent to the broker. PRODUCER; its parent is the event's context."""
PROCESS_TASK = "process tasks"
"""A worker runs a task. CONSUMER; its parent sent the task."""

# Events.
SESSION_OPENED = "session opened"
FIRST_MOTION = "first motion"
FAILED = "failed"
FIRST_WRITE = "first write"
FIRST_MOTION_WRITE = "first motion write"
LAST_WRITE = "last write"

# Attributes of OpenTelemetry.
ERROR_TYPE = "error.type"
"""Of low cardinality; ``traces.record`` sets it."""
MESSAGING_SYSTEM = "messaging.system"
MESSAGING_OPERATION_NAME = "messaging.operation.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
MESSAGING_DESTINATION_NAME = "messaging.destination.name"
MESSAGING_DESTINATION_TEMPLATE = "messaging.destination.template"
MESSAGING_PARTITION_ID = "messaging.destination.partition.id"
MESSAGING_MESSAGE_ID = "messaging.message.id"
MESSAGING_MESSAGE_COUNT = "messaging.batch.message_count"
MESSAGING_BODY_SIZE = "messaging.message.body.size"
MESSAGING_CLIENT_ID = "messaging.client.id"

REDIS = "redis"
"""The value of ``MESSAGING_SYSTEM``."""
SEND = "send"
"""A value of ``MESSAGING_OPERATION_NAME`` and ``MESSAGING_OPERATION_TYPE``."""
PROCESS = "process"
"""The other."""

# Attributes of the relay.
CONVERSATION = "relay.conversation"
TURN = "relay.turn"
GENERATION = "relay.generation"
EPOCH = "relay.epoch"
OUTCOME = "relay.outcome"
REASON = "relay.reason"
SOURCE = "relay.source"
FRAMES = "relay.frames"
AUDIO_BYTES = "relay.audio_bytes"
MOTION_BYTES = "relay.motion_bytes"
AUDIO_SECONDS = "relay.audio_seconds"
MOTION_LEAD_MIN_SECONDS = "relay.motion.lead_min_seconds"
MOTION_SESSION = "relay.motion.session"
MOTION_CREDITS = "relay.motion.credits"
TASK = "relay.task"
VIEWERS = "relay.viewers"
CODE = "relay.code"
FORCED = "relay.forced"
"""Why spans are recorded that the sampler did not choose: ``failed``, ``audio_only`` or ``slow``."""


def sends(destination: str) -> dict[str, str]:
    """The attributes of a span that sends to a stream."""
    return _messaging(SEND, destination)


def processes(destination: str) -> dict[str, str]:
    """The attributes of a span that processes what it reads from a stream."""
    return _messaging(PROCESS, destination)


def _messaging(operation: str, destination: str) -> dict[str, str]:
    return {
        MESSAGING_SYSTEM: REDIS,
        MESSAGING_OPERATION_NAME: operation,
        MESSAGING_OPERATION_TYPE: operation,
        MESSAGING_DESTINATION_NAME: destination,
    }
