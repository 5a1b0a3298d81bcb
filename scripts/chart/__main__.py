"""``python -m scripts.chart`` writes the generated files of the chart; with ``--check`` it compares them."""

from scripts import generated
from scripts.chart import files

if __name__ == "__main__":
    generated.run(
        "scripts.chart", __doc__, files.FOLDER, files.texts, source="the chart's values and the settings"
    )
