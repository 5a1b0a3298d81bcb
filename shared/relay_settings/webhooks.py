"""Settings of webhooks: the endpoints, where requests may go, and when they are repeated."""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from relay_settings.base import Settings
from relay_settings.host import is_host_pattern

SECRET_PREFIX = "RELAY_WEBHOOK_SECRET"  # noqa: S105  # the public beginning of names
"""Beginning of the variables, and of the files of secrets, that the file of endpoints may name."""


class WebhookSettings(Settings):
    """Webhooks: signed requests that report events to the app's backend."""

    webhooks_file: Path | None = Field(
        None,
        description="JSON file of the endpoints, by API key id, read again when it changes; unset: none.",
    )
    webhook_hosts: tuple[str, ...] = Field(
        (),
        description="Hosts that webhooks may be sent to, comma-separated; *.example.com is every host below"
        " example.com. Required with RELAY_WEBHOOKS_FILE.",
    )
    webhook_http: bool = Field(
        False, description="Allow endpoints with http://, which anybody on the way can read: for laptops."
    )
    webhook_private_networks: bool = Field(
        False,
        description="Allow endpoints whose host resolves to an address that is not public, such as 10.0.0.1.",
    )
    webhook_connect_s: float = Field(
        3.0, gt=0, le=30, description="Longest wait for a connection to an endpoint, TLS included."
    )
    webhook_timeout_s: float = Field(
        10.0, gt=0, le=60, description="Longest time of one attempt, until the answer's header has arrived."
    )
    webhook_claim_s: float = Field(
        30.0,
        gt=0,
        le=600,
        description="Time after which an attempt that reported no result counts as failed, as when its worker"
        " was killed; longer than RELAY_WEBHOOK_TIMEOUT_S.",
    )
    webhook_body_bytes: int = Field(
        64 * 1024,
        ge=1024,
        le=1024 * 1024,
        description="Largest body of a webhook; the data of a larger one is replaced by truncated: true.",
    )
    webhook_backoff_s: float = Field(
        5.0,
        gt=0,
        description="Longest wait after the first failed attempt; doubled by each further one, up to"
        " RELAY_WEBHOOK_MAX_BACKOFF_S. Each wait is random, from 0 up to it.",
    )
    webhook_max_backoff_s: float = Field(
        86_400.0, gt=0, le=604_800, description="Longest wait between two attempts, a Retry-After included."
    )
    webhook_attempts: int = Field(
        20, ge=1, le=1000, description="Attempts of one delivery; after the last it is a dead letter."
    )
    webhook_give_up_s: float = Field(
        259_200.0,
        gt=0,
        description="Age of a delivery after which a failed attempt makes it a dead letter, also when it had"
        " fewer attempts.",
    )
    webhook_connections: int = Field(
        4,
        ge=1,
        le=1000,
        description="Attempts at one endpoint at a time, over all workers; 1 while its last attempt failed.",
    )
    webhook_rest_s: float = Field(
        60.0,
        ge=0,
        le=3600,
        description="Longest pause of an endpoint whose last five attempts failed: from 1 s, doubled by each"
        " further failure, without an attempt of any delivery; 0: none.",
    )
    webhook_due_limit: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Deliveries of one partition that are due, of which tasks are sent at a time; further"
        " ones wait in Redis.",
    )
    webhook_resend_s: float = Field(
        10.0, gt=0, le=3600, description="Time after which the task of a due delivery is sent again."
    )
    webhook_dead_letters: int = Field(
        10_000, ge=1, description="Dead letters of one partition; at the limit the oldest are discarded."
    )
    webhook_dead_letter_days: float = Field(
        30.0, gt=0, le=3650, description="Days that a dead letter is kept."
    )
    webhook_delivered_s: float = Field(
        600.0,
        ge=1,
        description="Time that a delivery is known after its success, so that a repeated event sends none.",
    )

    @field_validator("webhook_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").lower().split()) if isinstance(value, str) else value

    @field_validator("webhook_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not is_host_pattern(host):
                raise ValueError(f"{host!r} must be a host such as hooks.example.com, or *.example.com")
        return value

    @model_validator(mode="after")
    def _webhooks_fit_together(self) -> Self:
        if self.webhooks_file is not None and not self.webhook_hosts:
            raise ValueError("RELAY_WEBHOOKS_FILE needs RELAY_WEBHOOK_HOSTS: no host is allowed by default")
        if self.webhook_claim_s <= self.webhook_timeout_s:
            raise ValueError("RELAY_WEBHOOK_CLAIM_S must be longer than RELAY_WEBHOOK_TIMEOUT_S")
        return self
