"""``avatar-relay``: the command line.

Each command's module is imported when it runs, since each needs its own extra.
"""

import sys

import typer

from relay_cli.clips import app as clips
from relay_cli.commands.conversations import explain, replay, tail
from relay_cli.commands.keys import app as keys
from relay_cli.commands.relays import capacity, demo, top
from relay_cli.commands.services import doctor, serve, settings
from relay_cli.recordings.commands import app as recordings
from relay_cli.verify.command import verify
from relay_cli.webhooks.commands import app as webhooks
from relay_runtime import extra
from relay_telemetry import logs

_FOREIGN_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""The options behind the name of a service are the service's."""

app = typer.Typer(
    name="avatar-relay",
    help="Relay speech and motion of talking avatars to every viewer.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)


@app.callback()
def _configure() -> None:
    """Relay speech and motion of talking avatars to every viewer."""
    # A command prints its own errors, as one sentence.
    logs.configure("cli", level="error", style="console")


app.add_typer(keys, name="keys")
app.add_typer(webhooks, name="webhooks")
app.add_typer(recordings, name="recordings")
app.add_typer(clips, name="clips")
app.command()(verify)
app.command()(demo)
app.command(context_settings=_FOREIGN_OPTIONS)(serve)
for command in (tail, replay, top, explain, doctor, capacity, settings):
    app.command()(command)


@app.command()
def version() -> None:
    """Print the version."""
    from relay_telemetry.version import version as installed  # noqa: PLC0415

    print(installed())


def main() -> None:
    """Run a command."""
    try:
        app()
    except ModuleNotFoundError as error:  # of what a command imports: it may need a service
        sys.exit(extra.missing(error, "all"))


if __name__ == "__main__":
    main()
