"""The generated files of the chart: as the settings and the values are."""

import json

import pytest
from scripts.chart import files, readme, schema
from scripts.generated import outdated

from relay_settings.catalogue import SERVICES

VALUES = """\
# Not a description.
group:
  # -- How many, and
  # why so many.
  count: 2
  # A comment of the group below.
  inner:
    # -- A text with | and `a|b`.
    name: ""
    plain: 1
# -- On its own.
list: [1, 2]
"""


def test_the_files_in_the_tree_match_the_code() -> None:
    """`make reference` has nothing to write."""
    assert not outdated(files.FOLDER, files.texts(files.FOLDER)), "run make reference"


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_is_in_the_schema(service) -> None:
    """A setting that a service reads can be set in the chart by its variable."""
    known = json.loads((files.FOLDER / "values.schema.json").read_text("utf-8"))["$defs"]["settings"][
        "properties"
    ]

    assert {SERVICES[service].variable(name) for name in SERVICES[service].model_fields} <= known.keys()


def test_the_schema_keeps_what_is_written_by_hand() -> None:
    """Only the settings are replaced; what they were before is gone."""
    given = {"title": "t", "$defs": {"settings": {"properties": {"RELAY_OLD": {}}, "type": "object"}}}

    found = json.loads(schema.text(json.dumps(given)))

    assert found["title"] == "t"
    assert found["$defs"]["settings"]["type"] == "object"
    assert "RELAY_OLD" not in found["$defs"]["settings"]["properties"]
    assert list(found["$defs"]["settings"]["properties"]) == sorted(found["$defs"]["settings"]["properties"])


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"type": "integer", "minimum": 1}, {"type": ["integer", "string", "null"], "minimum": 1}),
        (
            {"type": "number", "exclusiveMinimum": 0},
            {"type": ["number", "string", "null"], "exclusiveMinimum": 0},
        ),
        ({"type": "boolean"}, {"type": ["boolean", "string", "null"]}),
        ({"anyOf": [{"type": "array"}, {"type": "null"}]}, {"type": ["array", "string", "null"]}),
        ({"enum": ["auto", "json"], "type": "string"}, {"enum": ["auto", "json", "", None]}),
        ({"type": "string", "minLength": 32}, {"type": ["string", "number", "null"]}),
    ],
)
def test_a_value_has_the_type_and_the_bounds_of_its_setting_and_may_be_blank(field, expected) -> None:
    found = schema.value(field)

    assert {key: found[key] for key in expected} == expected


def test_a_description_is_that_of_the_value_after_it() -> None:
    """Lines that continue a description belong to it; other comments and values are left out."""
    found = list(readme.described(VALUES))

    assert [(".".join(value.path), value.default) for value in found] == [
        ("group.count", 2),
        ("group.inner.name", ""),
        ("list", [1, 2]),
    ]
    assert found[0].description == "How many, and why so many."
    assert found[1].cells == ("`group.inner.name`", "", r"A text with \| and `a\|b`.")
    assert found[2].cells == ("`list`", "`[1, 2]`", "On its own.")


def test_the_readme_has_a_table_for_each_group() -> None:
    """Values outside of groups have a table of their own."""
    found = readme.text(
        template="$description $kubernetes\n$values",
        values=VALUES,
        chart="{description: D, kubeVersion: '>=1.27.0-0'}",
    )

    assert found.startswith("D 1.27\n### `group`\n")
    assert "### General\n" in found
