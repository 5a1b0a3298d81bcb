"""``python -m scripts.reference`` writes the pages; with ``--check`` it compares them with the tree."""

from scripts import generated
from scripts.reference import pages

if __name__ == "__main__":
    generated.run("scripts.reference", __doc__, pages.FOLDER, lambda _: pages.texts(), source="the sources")
