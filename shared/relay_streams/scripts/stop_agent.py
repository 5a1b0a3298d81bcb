"""Stop agent: the record has that a conversation's agent accepts no messages any more."""

from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

STOP_AGENT: Final = load("stop_agent", number)


def stop_agent(keys: ConversationKeys, *, generation: int) -> Call[bool]:
    """Record that the agent of the owner of this generation has stopped. The result is False when another
    owner has taken over: nothing was written.
    """
    return Call(STOP_AGENT, (keys.meta,), (generation,), bool)
