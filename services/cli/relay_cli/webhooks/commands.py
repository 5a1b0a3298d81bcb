"""The commands of ``avatar-relay webhooks``. What they do is imported when they run."""

import asyncio
import json
from typing import Annotated

import typer

from relay_cli.console import fail, open_console

app = typer.Typer(help="Webhooks: deliveries that wait, dead letters, tests.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
EndpointName = Annotated[str, typer.Option("--endpoint", help="Only those for the endpoint of this name.")]


@app.command("list")
def list_(
    dead: Annotated[
        bool, typer.Option("--dead", help="Dead letters, instead of the deliveries that wait.")
    ] = False,
    endpoint: EndpointName = "",
    event: Annotated[str, typer.Option("--type", help="Only those of events of this type.")] = "",
    conversation: Annotated[str, typer.Option(help="Only those of this conversation.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most deliveries printed.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List deliveries that wait for an attempt, or dead letters, from Redis (RELAY_REDIS_URL)."""
    from relay_cli.webhooks.actions import Filter, WebhookError, found  # noqa: PLC0415
    from relay_cli.webhooks.text import as_object, table  # noqa: PLC0415

    wanted = Filter("dead" if dead else "due", endpoint, event, conversation)
    try:
        deliveries, more = asyncio.run(found(wanted, limit))
    except WebhookError as error:
        fail(str(error))
    if as_json:
        print(json.dumps([as_object(delivery) for delivery in deliveries]))
        return
    console = open_console()
    console.print(table(deliveries))
    if more:
        console.print(f"There are more; --limit {limit * 10} shows more of them.")


@app.command()
def show(
    delivery: Annotated[str, typer.Argument(help="The delivery's id, which is its webhook-id.")],
    as_json: AsJson = False,
) -> None:
    """Show a delivery: its event, its attempts and its body."""
    from relay_cli.webhooks.actions import WebhookError, one  # noqa: PLC0415
    from relay_cli.webhooks.text import as_object, details  # noqa: PLC0415

    try:
        known = asyncio.run(one(delivery))
    except WebhookError as error:
        fail(str(error))
    if as_json:
        print(json.dumps(as_object(known, whole=True)))
    else:
        open_console().print(details(known))


@app.command()
def retry(
    deliveries: Annotated[
        list[str] | None, typer.Argument(help="Ids of dead letters.", show_default=False)
    ] = None,
    endpoint: Annotated[str, typer.Option(help="All dead letters of the endpoint of this name.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make dead letters due now, with as many further attempts as a new delivery has."""
    from relay_cli.webhooks.actions import WebhookError, retried  # noqa: PLC0415

    if bool(deliveries) + bool(endpoint) + everything != 1:
        raise typer.BadParameter("name deliveries, or an --endpoint, or --all")
    try:
        names = asyncio.run(retried(deliveries or (), endpoint))
    except WebhookError as error:
        fail(str(error))
    if as_json:
        print(json.dumps({"retried": names}))
    else:
        open_console().print(f"{len(names)} due now")


@app.command("test")
def send_test(
    endpoint: Annotated[str, typer.Argument(help="The endpoint's name, or else the id of an API key, or *.")],
    as_json: AsJson = False,
) -> None:
    """Send a signed webhook.test event to an endpoint, from here, by the settings of RELAY_WEBHOOKS_FILE.

    Exit status 0 only if it was accepted. Nothing is stored.
    """
    from relay_cli.webhooks.actions import WebhookError, tested  # noqa: PLC0415

    try:
        results = asyncio.run(tested(endpoint))
    except WebhookError as error:
        fail(str(error))
    if as_json:
        print(json.dumps(results))
    else:
        for result in results:
            answered = f" with {result['status']}" if result["status"] else ""
            open_console().print(f"{result['endpoint']}: {result['outcome']}{answered}", highlight=False)
    raise typer.Exit(0 if all(result["outcome"] == "delivered" for result in results) else 1)
