"""The files of the dashboards."""

from pathlib import Path

from scripts.dashboards import gateways, grafana, ingest, jobs, overview, redis, runtime, turn

_BOARDS = (overview.board, turn.board, gateways.board, ingest.board, redis.board, runtime.board, jobs.board)


def generated() -> dict[str, str]:
    """By file name, the text of each dashboard."""
    return {f"{board.uid}.json": grafana.text(board) for board in (made() for made in _BOARDS)}


def outdated(folder: Path) -> list[str]:
    """The names of the files that a folder has too many, does not have, or has with another text."""
    found = {path.name: path.read_text("utf-8") for path in folder.glob("*.json")}
    expected = generated()
    return sorted(name for name in found | expected if found.get(name) != expected.get(name))
