"""The pages: the text of each."""

from pathlib import Path

from scripts.reference import configuration, keys, metrics

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


def texts() -> dict[str, str]:
    """By file name, the text of each page. It depends on the code and on nothing else."""
    return {
        "configuration.md": configuration.page(),
        "metrics.md": metrics.page(metrics.collect()),
        "redis-keys.md": keys.page(),
    }
