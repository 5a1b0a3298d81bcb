"""The files of the dashboards."""

from scripts.dashboards import gateways, grafana, ingest, jobs, overview, redis, runtime, turn

_BOARDS = (overview.board, turn.board, gateways.board, ingest.board, redis.board, runtime.board, jobs.board)


def texts() -> dict[str, str]:
    """By file name, the text of each dashboard."""
    return {f"{board.uid}.json": grafana.text(board) for board in (made() for made in _BOARDS)}
