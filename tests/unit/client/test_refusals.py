"""Refusals: which answers are worth another attempt, and when."""

import pytest

from relay_client.errors import RequestRefused
from relay_client.refusals import Unavailable, of_response
from relay_wire import problems
from relay_wire.problems import ProblemType


def refusal(kind: ProblemType, *, repeatable: bool) -> RequestRefused | Unavailable:
    body = b'{"type": "%b", "title": "t", "detail": "d"}' % problems.type_of(kind).encode()
    return of_response(kind.status, {"Retry-After": "3"}, body, repeatable=repeatable)


@pytest.mark.parametrize("kind", [problems.RATE_LIMITED, problems.DRAINING, problems.OVERLOADED])
@pytest.mark.parametrize("repeatable", [False, True])
def test_refused_before_any_effect(kind: ProblemType, *, repeatable: bool) -> None:
    again = refusal(kind, repeatable=repeatable)
    assert isinstance(again, Unavailable)
    assert again.retry_after_s == 3


@pytest.mark.parametrize("kind", [problems.STORE_UNAVAILABLE, problems.NO_OWNER, problems.UPLINK_FULL])
def test_perhaps_it_took_effect(kind: ProblemType) -> None:
    assert isinstance(refusal(kind, repeatable=True), Unavailable)
    refused = refusal(kind, repeatable=False)
    assert isinstance(refused, RequestRefused)
    assert (refused.problem, refused.detail, refused.retry_after_s) == (kind.name, "d", 3)


@pytest.mark.parametrize("kind", [problems.TURN_OPEN, problems.TOO_MANY_CONVERSATIONS, problems.INTERNAL])
def test_another_attempt_would_end_the_same_way(kind: ProblemType) -> None:
    assert isinstance(refusal(kind, repeatable=True), RequestRefused)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff", b'{"type": 1}', b'{"detail": null}'])
@pytest.mark.parametrize("after", ["", "soon", "-1", "1.5", "\u00b2", "9" * 30])
def test_a_proxys_answer(body: bytes, after: str) -> None:
    again = of_response(502, {"Retry-After": after}, body, repeatable=True)
    assert isinstance(again, Unavailable)
    assert 0 <= again.retry_after_s <= 60
