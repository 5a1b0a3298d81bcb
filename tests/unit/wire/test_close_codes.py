"""Close codes: advice for every number, and the code for every problem."""

from collections.abc import Iterable

import pytest

from relay_wire import close_codes, problems
from relay_wire.close_codes import REGISTRY, ReconnectAdvice


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (4199, ReconnectAdvice.RESUME),
        (4299, ReconnectAdvice.BACK_OFF),
        (4499, ReconnectAdvice.FINAL),
        (4999, ReconnectAdvice.BACK_OFF),
        (1234, ReconnectAdvice.BACK_OFF),
    ],
)
def test_a_number_outside_the_registry(number: int, advice: ReconnectAdvice) -> None:
    """Its range decides; outside the ranges clients back off."""
    code = close_codes.of_number(number)

    assert (code.code, code.name) == (number, "unknown")
    assert code.advice is close_codes.advice(number) is advice


def test_the_registry() -> None:
    """Each code is found by its number."""
    for number, code in REGISTRY.items():
        assert code.code == number
        assert close_codes.of_number(number) is code
        assert close_codes.advice(number) is code.advice


def test_no_close_frame() -> None:
    assert close_codes.of_number(None) is close_codes.ABNORMAL


def test_problems_without_a_code_of_their_own() -> None:
    """A client's mistake is a bad message; a server's failure is one to back off from."""
    assert close_codes.of_problem(problems.INVALID_FIELD) is close_codes.BAD_MESSAGE
    assert close_codes.of_problem(problems.NO_OWNER) is close_codes.TRY_LATER


@pytest.mark.parametrize(
    ("numbers", "may_be"),
    [
        (range(1000), False),
        ((1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4410, 4999), True),
        ((1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535), False),
    ],
)
def test_codes_of_close_frames(numbers: Iterable[int], *, may_be: bool) -> None:
    """Those that are defined and name a close frame, and those of libraries and applications."""
    assert {close_codes.may_be_sent(number) for number in numbers} == {may_be}
