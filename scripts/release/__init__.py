"""Release: everything that a version consists of, made from a tag: ``python -m scripts.release``."""
