"""The pulse: when a worker counts as stalled, and when it does not."""

from relay_jobs.pulse import Pulse


def _started() -> Pulse:
    """A worker that has answered its first pulse, at second 10."""
    pulse = Pulse(stalled_s=15, start_s=60)
    pulse.sent(1)
    pulse.observe(10, answered=1, all_busy=False)
    return pulse


def test_answered_pulses_are_progress() -> None:
    """However long the worker runs."""
    pulse = _started()
    for now in range(11, 1000, 3):
        pulse.sent(now)
        pulse.observe(now + 1, answered=pulse.number, all_busy=False)
        assert not pulse.stalled(now + 2)


def test_a_pulse_without_an_answer_is_a_stall() -> None:
    """From the first that waits, also when further ones replace it."""
    pulse = _started()
    for now in (20, 23, 26, 29, 32):
        assert pulse.next() == pulse.number + 1
        pulse.sent(now)
        pulse.observe(now + 1, answered=1, all_busy=False)
    assert not pulse.stalled(34.9)
    assert pulse.stalled(35)


def test_an_answer_to_an_earlier_pulse_is_progress() -> None:
    """The worker is slow, and lives."""
    pulse = _started()
    pulse.sent(20)
    pulse.sent(23)
    pulse.observe(34, answered=2, all_busy=False)
    assert not pulse.stalled(40)
    assert pulse.stalled(49)


def test_a_broker_that_is_away_shows_nothing() -> None:
    """What could not be sent cannot be answered; the time begins with the next pulse that is sent."""
    pulse = _started()
    pulse.sent(20)
    pulse.unsent()
    assert not pulse.stalled(1000)
    pulse.sent(1000)
    assert not pulse.stalled(1014)
    assert pulse.stalled(1015)


def test_a_worker_that_is_busy_throughout_is_no_stall() -> None:
    """Its tasks have limits; once a process is free, the pulse has its whole time."""
    pulse = _started()
    pulse.sent(20)
    pulse.observe(500, answered=1, all_busy=True)
    assert not pulse.stalled(510)
    pulse.observe(512, answered=1, all_busy=False)
    assert pulse.stalled(515)


def test_a_start_may_take_longer() -> None:
    """Also each later start. Its time begins with the first pulse that is sent: the broker may be away."""
    pulse = Pulse(stalled_s=15, start_s=60)
    assert not pulse.stalled(1000)
    for began in (1000, 2000):
        pulse.restart()
        pulse.sent(began)
        pulse.sent(began + 3)
        assert not pulse.stalled(began + 74)
        assert pulse.stalled(began + 75)


def test_a_start_ends_with_its_first_answer() -> None:
    """Further pulses have the usual time; so have those that were sent before the answer."""
    pulse = Pulse(stalled_s=15, start_s=60)
    pulse.restart()
    pulse.sent(0)
    pulse.sent(3)
    pulse.observe(50, answered=1, all_busy=False)
    assert not pulse.stalled(64)
    assert pulse.stalled(65)
