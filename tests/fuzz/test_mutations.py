"""Mutations of valid inputs: each decoder accepts or refuses them. ``make fuzz`` continues."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import TARGETS

_CUTS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 8), st.binary(max_size=8)), max_size=4)
"""Where, how many bytes go, and what comes instead."""


def mutate(data: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    for at, size, instead in cuts:
        start = at % (len(data) + 1)
        data = data[:start] + instead + data[start + size :]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken(name: str) -> None:
    """A fuzzer that begins with nonsense ends with it."""
    target = TARGETS[name]
    assert all(target.probe(seed) for seed in target.seeds)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations(name: str) -> None:
    """No exception but those the decoder names."""
    target = TARGETS[name]

    @given(st.sampled_from(target.seeds), _CUTS)
    @settings(max_examples=400)
    def check(valid: bytes, cuts: list[tuple[int, int, bytes]]) -> None:
        target.probe(mutate(valid, cuts))

    run: Callable[[], None] = check
    run()
