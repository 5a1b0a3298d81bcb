"""The commands of ``avatar-relay keys``."""

from typing import Annotated

import typer

from relay_cli.console import fail

app = typer.Typer(help="API keys of backends.", no_args_is_help=True)


@app.command()
def new(
    scopes: Annotated[
        str,
        typer.Option(help="Scopes of the key, comma-separated: create, push, tokens; admin has all."),
    ] = "create,push,tokens",
) -> None:
    """Create an API key, and the entry of it for control.

    The key is printed once. Control stores its digest only: add the entry to RELAY_API_KEYS beside the
    existing ones, and remove an old entry when its key is no longer used.
    """
    from relay_auth.api_keys import Scope, new_key  # noqa: PLC0415

    try:
        wanted = [Scope(name.strip()) for name in scopes.split(",")]
    except ValueError as error:
        fail(f"--scopes: {error}; the scopes are {', '.join(Scope)}")
    text, known = new_key(wanted)
    typer.echo(f"key, for the backend: {text}\nentry, for RELAY_API_KEYS: {known}")
