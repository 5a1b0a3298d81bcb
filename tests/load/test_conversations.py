"""The conversations that viewers choose from."""

from tests.load.conversations import Conversation, Conversations

A, B = (Conversation(name, f"ws://gateway/v1/conversations/{name}/stream") for name in "ab")


def test_viewers_spread_over_conversations() -> None:
    """The next viewer gets the one with fewest; a conversation is known once, however often it comes."""
    conversations = Conversations()
    for conversation in (A, B, A):
        conversations.add(conversation)

    assert [conversations.choose() for _ in range(4)] == [A, B, A, B]


def test_a_conversation_that_has_ended_is_not_chosen() -> None:
    """Nor is any when none is left, or when backends finish; a new run begins without any."""
    conversations = Conversations()
    conversations.add(A)
    conversations.add(B)
    conversations.remove(A)
    assert conversations.choose() == B

    conversations.finishing.set()
    assert conversations.choose() is None

    conversations.clear()
    assert conversations.choose() is None
