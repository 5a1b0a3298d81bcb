"""The verifier must catch everything that is planted, and nothing that is not there."""

import json
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.verifier import Position, Publication, Sighting, Verdict, percentile, sight, verify

FIRST, SECOND = 1_700_000_000_000, 1_700_000_060_000
STEP_S = 0.1


def frame(generation: int, seq: int, payload: bytes = b"", event: dict[str, str] | None = None) -> bytes:
    body = json.dumps(event).encode() if event else payload
    header = struct.pack(">BBBBIQIIQ", 1, 3 if event else 1, 0, 0, 1, generation, seq, 0, 0)
    return header + body


def stream(*lengths: int) -> list[bytes]:
    """Frames of a conversation: these numbers for each generation, joined by ``owner_changed``."""
    frames = []
    after = "0-0"
    for index, length in enumerate(lengths):
        generation = FIRST + index * (SECOND - FIRST)
        frames.append(frame(generation, 1, event={"type": "owner_changed", "after": after}))
        frames += [frame(generation, seq, b"%d" % seq * 50) for seq in range(2, length + 1)]
        after = f"{generation}-{length}"
    return frames


def event_bytes(**event: str) -> bytes:
    return frame(FIRST, 0, event={name.rstrip("_"): value for name, value in event.items()})


def hello(position: str = "0-0") -> bytes:
    return event_bytes(type="hello", position=position)


def gap(from_: str, to: str) -> bytes:
    return event_bytes(type="gap", from_=from_, to=to)


def published(frames: list[bytes]) -> dict[Position, Publication]:
    sightings = [sight(data, index * STEP_S) for index, data in enumerate(frames)]
    return {one.position: Publication(one.digest, one.at) for one in sightings}


def received(frames: list[bytes], latency_s: float = 0.01) -> list[Sighting]:
    return [sight(data, index * STEP_S + latency_s) for index, data in enumerate(frames)]


def judge(truth: list[bytes], arrived: list[bytes]) -> Verdict:
    return verify(published(truth), {"viewer": received([hello(), *arrived])})


def counts(verdict: Verdict) -> dict[str, int]:
    names = ("lost", "duplicated", "reordered", "altered", "unpublished", "holes", "gaps")
    return {name: count for name in names if (count := verdict.total(name))}


@pytest.mark.parametrize("lengths", [(10,), (10, 1, 7)])
def test_a_clean_run_is_clean(lengths: tuple[int, ...]) -> None:
    """Over one generation and over three."""
    frames = stream(*lengths)
    verdict = judge(frames, frames)
    assert counts(verdict) == {}
    assert verdict.whole
    assert verdict.total("checked") == sum(lengths)


def test_nothing_seen_is_not_whole() -> None:
    """Without viewers or frames nothing is shown."""
    assert not verify({}, {}).whole
    assert not verify(published(stream(3)), {"viewer": []}).whole


def test_a_planted_loss() -> None:
    """In the middle: lost, and a hole in the order."""
    frames = stream(10)
    assert counts(judge(frames, frames[:4] + frames[5:])) == {"lost": 1, "holes": 1}


def test_frames_lost_at_the_very_end() -> None:
    """No later frame gives them away; the store does."""
    frames = stream(10)
    assert counts(judge(frames, frames[:-2])) == {"lost": 2}


def test_frames_lost_at_the_very_start() -> None:
    """The greeting has the viewer's start position."""
    frames = stream(10)
    assert counts(judge(frames, frames[2:])) == {"lost": 2, "holes": 1}


@pytest.mark.parametrize("index", [9, 10])
def test_a_loss_across_a_generation_change(index: int) -> None:
    """The last frame of a generation, and the first of the next."""
    frames = stream(10, 10)
    verdict = judge(frames, frames[:index] + frames[index + 1 :])
    assert counts(verdict) == {"lost": 1, "holes": 1}
    assert not verdict.whole


def test_a_whole_generation_that_nobody_has_seen() -> None:
    """A generation lost in the store, too, shows in the position that the next one's first frame names."""
    frames = stream(5, 5, 5)
    without = frames[:5] + frames[10:]
    assert counts(judge(without, without)) == {"holes": 1}


def test_a_planted_duplicate() -> None:
    """At once, and long after."""
    frames = stream(10)
    assert counts(judge(frames, [*frames[:5], frames[4], *frames[5:]])) == {"duplicated": 1}
    assert counts(judge(frames, [*frames, frames[2]])) == {"duplicated": 1}


def test_a_planted_swap() -> None:
    """Two neighbours change places."""
    frames = stream(10)
    frames_swapped = [*frames[:4], frames[5], frames[4], *frames[6:]]
    assert counts(judge(frames, frames_swapped)) == {"reordered": 1, "holes": 1}


def test_an_altered_byte() -> None:
    """In the payload, and in the header where no position is."""
    frames = stream(10)
    for place in (40, 4):
        spoiled = bytearray(frames[5])
        spoiled[place] ^= 1
        verdict = judge(frames, [*frames[:5], bytes(spoiled), *frames[6:]])
        assert counts(verdict) == {"altered": 1}


def test_a_frame_nobody_published() -> None:
    """After the last one."""
    frames = stream(5)
    assert counts(judge(frames, [*frames, frame(FIRST, 6, b"more")])) == {"unpublished": 1}


def test_a_gap_that_covers_everything() -> None:
    """What a gap covers is not lost."""
    frames = stream(10)
    verdict = judge(frames, [*frames[:3], gap(f"{FIRST}-3", f"{FIRST}-7"), *frames[7:]])
    assert counts(verdict) == {"gaps": 1}
    assert verdict.whole


@pytest.mark.parametrize(("from_", "to"), [(3, 6), (4, 7)])
def test_a_hole_behind_a_gap_that_does_not_cover_it(from_: int, to: int) -> None:
    """A gap that ends too early, and one that begins too late."""
    frames = stream(10)
    verdict = judge(frames, [*frames[:3], gap(f"{FIRST}-{from_}", f"{FIRST}-{to}"), *frames[7:]])
    assert counts(verdict) == {"lost": 1, "holes": 1, "gaps": 1}


def test_a_gap_followed_by_what_it_said_was_gone() -> None:
    """What comes after a gap comes after it."""
    frames = stream(10)
    verdict = judge(frames, [*frames[:3], gap(f"{FIRST}-3", f"{FIRST}-7"), *frames[6:]])
    assert counts(verdict) == {"reordered": 1, "gaps": 1}


def test_recovery_counts_from_the_fault_to_the_first_frame_published_after_it() -> None:
    """What was published before and arrives after it does not count."""
    frames = stream(10)
    arrived = [one._replace(at=max(one.at, 2.0)) for one in received([hello(), *frames])]
    verdict = verify(published(frames), {"viewer": arrived}, mark=0.45)
    assert verdict.recovery_ms(0.5) == pytest.approx(1550)
    assert verdict.unrecovered == []


def test_a_viewer_that_never_recovers() -> None:
    """It is named, and has no time."""
    frames = stream(10)
    both = {"well": received([hello(), *frames]), "deaf": received([hello(), *frames[:4]])}
    verdict = verify(published(frames), both, mark=0.45)
    assert verdict.unrecovered == ["deaf"]
    assert verdict.viewers["well"].whole
    assert not verdict.whole
    assert verify(published(frames), both).unrecovered == []


def test_conversations_add_up() -> None:
    """One verdict for all of them, ready for JSON."""
    frames = stream(10)
    verdict = verify(published(frames), {"a": received([hello(), *frames])}, mark=0.45)
    verdict.merge(verify(published(frames), {"b": received([hello(), *frames[:-1]])}))
    report = verdict.to_json()
    assert (report["frames"], report["lost"], report["unrecovered"]) == (19, 1, [])
    assert json.loads(json.dumps(report)) == report
    assert report["recovery_ms"]["p99"] == pytest.approx(160)


def test_percentiles() -> None:
    """Of nothing, of one, of many."""
    assert percentile([], 0.5) is None
    assert percentile([3.0], 0.99) == 3.0
    assert percentile(range(1, 101), 0.99) == 99


@given(st.lists(st.integers(1, 12), min_size=1, max_size=3), st.data())
def test_any_corruption_is_caught(lengths: list[int], data: st.DataObject) -> None:
    """Whatever is dropped, repeated, moved or changed in a clean record."""
    frames = stream(*lengths)
    clean = received([hello(), *frames])
    record = list(clean)
    at = data.draw(st.integers(1, len(record) - 1), "place")
    match data.draw(st.sampled_from(["drop", "repeat", "move", "alter"]), "corruption"):
        case "drop":
            del record[at]
        case "repeat":
            record.insert(data.draw(st.integers(at + 1, len(record)), "again at"), record[at])
        case "move":
            other = data.draw(st.integers(1, len(record) - 1).filter(lambda other: other != at), "to")
            record.insert(other, record.pop(at))
            record = record if record != clean else record[:-1]
        case "alter":
            record[at] = record[at]._replace(digest=b"other")
    verdict = verify(published(frames), {"viewer": record})
    assert not verdict.whole
    assert verify(published(frames), {"viewer": clean}).whole


def test_a_verdict_is_a_value() -> None:
    """Two runs over the same records have the same verdict."""
    frames = stream(4, 4)
    first = judge(frames, frames).viewers["viewer"]
    assert replace(first) == judge(frames, frames).viewers["viewer"]
