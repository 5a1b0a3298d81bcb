"""What mypyc compiles keeps to what mypyc does as Python does (ADR 9)."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]


@pytest.mark.parametrize("module", MODULES)
def test_nothing_waits_while_it_handles_an_error(module: str) -> None:
    """A compiled coroutine that did would leave its error to every task, and theirs would chain on."""
    [source] = [*ROOT.glob(f"shared/{module}"), *ROOT.glob(f"services/*/{module}")]

    assert waits_while_handling(ast.parse(source.read_text())) == []


def test_how_that_is_found() -> None:
    """Also in what is left by an error; a limit of time is left without waiting."""
    code = """
async def f():
    try:
        await a
    except OSError:
        await b
    finally:
        x = [await c]
    async with asyncio.timeout(1):
        await d
    async with other():
        await e
"""
    assert waits_while_handling(ast.parse(code)) == ["await b", "await c", "async with other()"]


def waits_while_handling(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            handling = [*(line for handler in node.handlers for line in handler.body), *node.finalbody]
            waits = [each for line in handling for each in ast.walk(line) if isinstance(each, ast.Await)]
            found += [ast.unparse(each) for each in waits]
        if isinstance(node, ast.AsyncWith):
            entered = [ast.unparse(item.context_expr) for item in node.items]
            found += [f"async with {each}" for each in entered if not each.startswith("asyncio.timeout(")]
        if isinstance(node, ast.AsyncFor):
            found.append(f"async for {ast.unparse(node.target)}")
    return found
