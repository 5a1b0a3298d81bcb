"""Activity: what a supervisor reads of its processes' notes."""

import os
from pathlib import Path

from relay_jobs.activity import Activity


def test_pulses_that_have_arrived(tmp_path: Path) -> None:
    """The last one counts; a note that is not a number counts as none."""
    activity = Activity(tmp_path)
    assert activity.answered == 0
    activity.answer(3)
    activity.answer(4)
    assert activity.answered == 4
    (tmp_path / "pulse").write_text("broken")
    assert activity.answered == 0


def test_processes_that_run_a_task(tmp_path: Path) -> None:
    """Only those that live: one that was killed in the middle of a task has left its note."""
    activity = Activity(tmp_path)
    activity.begin()
    (tmp_path / "busy.4194303").touch()
    (tmp_path / "busy.none").touch()
    assert activity.busy() == 1
    assert [path.name for path in tmp_path.iterdir()] == [f"busy.{os.getpid()}"]
    activity.end()
    activity.end()
    assert activity.busy() == 0


def test_the_level_of_the_log(tmp_path: Path) -> None:
    """The last one that was set; none before that, nor when the note is damaged."""
    activity = Activity(tmp_path)
    assert activity.level is None
    activity.set_level("debug")
    activity.set_level("error")
    assert activity.level == "error"
    assert [path.name for path in tmp_path.iterdir()] == ["level"]
    for text in ("loud", "ü"):
        (tmp_path / "level").write_text(text, "utf-8")
        assert activity.level is None


def test_notes_of_processes_that_have_ended_are_removed(tmp_path: Path) -> None:
    """Before others are started."""
    activity = Activity(tmp_path)
    activity.begin()
    activity.answer(1)
    activity.clear()
    assert (activity.busy(), activity.answered) == (0, 0)
