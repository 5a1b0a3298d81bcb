"""``python -m scripts.dashboards`` writes the dashboards; with ``--check`` it compares them with the tree."""

from scripts import generated
from scripts.dashboards import files, saved

if __name__ == "__main__":
    generated.run(
        "scripts.dashboards",
        __doc__,
        saved.FOLDER,
        lambda _: files.texts(),
        source="the boards",
        owned="*.json",
    )
