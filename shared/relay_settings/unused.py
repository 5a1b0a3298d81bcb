"""Variables without effect: misspelt ones, and those that Kubernetes has set for its Services."""

from difflib import get_close_matches

from relay_settings import environment
from relay_settings.base import Settings
from relay_settings.catalogue import SERVICES
from relay_settings.environment import LIKENESS, PREFIX, SECRETS_DIR
from relay_settings.webhooks import SECRET_PREFIX

_OF_COMMANDS = {
    SECRETS_DIR,
    "RELAY_API_KEY",
    "RELAY_CONTROL_URL",
    "RELAY_TOP_TARGETS",
    "RELAY_VIEWER_TOKEN",
}


def unused(kind: type[Settings]) -> list[str]:
    """One sentence for each variable that has no effect although it seems to be meant for the relay.

    Args:
        kind: The settings of the process that reports. Settings of the other services are not reported.

    Raises:
        SettingsError: A file of secrets cannot be read.
    """
    known = _OF_COMMANDS.union(
        *(map(service.variable, service.model_fields) for service in SERVICES.values())
    )
    sentences = []
    for name in sorted(environment.values()):
        if name.startswith(PREFIX) and not name.startswith(SECRET_PREFIX) and name not in known:
            near = get_close_matches(name, known, n=1, cutoff=LIKENESS)
            sentences.append(f"{name} is not a setting" + (f": did you mean {near[0]}?" if near else ""))
    links = sorted(set(environment.service_links()) & set(map(kind.variable, kind.model_fields)))
    if links:
        sentences.append(
            f"{', '.join(links)}: ignored, since Kubernetes has set it for a Service of that name; set"
            " enableServiceLinks: false in the pod, or name the Service otherwise"
        )
    if missing := environment.missing_secrets_dir():
        sentences.append(f"{SECRETS_DIR}: there is no folder {missing}, so no secret is read from it")
    return sentences
