"""The generated files of the chart: the text of each."""

from pathlib import Path

from scripts.chart import readme, schema

FOLDER = Path(__file__).parents[2] / "helm" / "avatar-relay"


def texts(folder: Path) -> dict[str, str]:
    """By file name, the text of each file. It depends on the settings, and on the files of the folder."""
    return {
        "values.schema.json": schema.text((folder / "values.schema.json").read_text("utf-8")),
        "README.md": readme.text(
            template=(folder / "README.md.tmpl").read_text("utf-8"),
            values=(folder / "values.yaml").read_text("utf-8"),
            chart=(folder / "Chart.yaml").read_text("utf-8"),
        ),
    }
