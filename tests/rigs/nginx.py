"""nginx on a free loopback port, with the configuration of the documentation."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tests.rigs.eventually import eventually
from tests.rigs.imports import ROOT
from tests.rigs.listening import accepts
from tests.rigs.need import need
from tests.rigs.redis_process import free_port

from relay_runtime.parent import end_with_parent

PAGE = ROOT / "docs" / "operations" / "nginx.md"
_MAIN = """
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {site}
}}
"""


_DIRECTIVES = {
    "proxy-http-version": ("proxy_http_version", ""),
    "proxy-read-timeout": ("proxy_read_timeout", "s"),
    "proxy-send-timeout": ("proxy_send_timeout", "s"),
    "proxy-buffering": ("proxy_buffering", ""),
    "proxy-body-size": ("client_max_body_size", ""),
    "proxy-request-buffering": ("proxy_request_buffering", ""),
}
"""By annotation of ingress-nginx, the directive that it becomes, and the unit that is added to its value."""


def _directives(annotations: Mapping[str, str]) -> str:
    prefix = "nginx.ingress.kubernetes.io/"
    assert annotations
    lines = ((*_DIRECTIVES[name.removeprefix(prefix)], value) for name, value in annotations.items())
    return " ".join(f"{directive} {value}{unit};" for directive, unit, value in lines)


def binary() -> str:
    """The program; the test is skipped, or fails in CI, when there is none."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return need(found, "nginx")


class Site(NamedTuple):
    """What nginx serves; the addresses are host and port."""

    gateway: str
    control: str

    def documented(self, port: int, **replaced: str) -> str:
        """The configuration of the documentation, on a loopback port without TLS.

        Args:
            port: Where nginx listens.
            replaced: Other values of directives, by their names.
        """
        [text] = re.findall(r"^```nginx\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        text = re.sub(r"^ *ssl_.*\n", "", text, flags=re.MULTILINE)
        changes = {"127.0.0.1:8080": self.gateway, "127.0.0.1:8081": self.control}
        for before, after in {**changes, "443 ssl": f"127.0.0.1:{port}"}.items():
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        for directive, value in replaced.items():
            text, count = re.subn(rf"\b{directive}\s+[^;]+;", f"{directive} {value};", text)
            assert count == 1, directive
        return text

    def annotated(self, port: int, *, gateway: Mapping[str, str], control: Mapping[str, str]) -> str:
        """What ingress-nginx makes of annotations: its own lines for upgrades, and a directive for each."""
        upgrades = (
            "proxy_set_header Upgrade $http_upgrade;"
            " proxy_set_header Connection $connection_upgrade;"
            " proxy_set_header Host $http_host;"
            " proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
        )
        places = "".join(
            f" location /{path}/ {{ {upgrades} {_directives(found)} proxy_pass http://{address}/; }}"
            for path, found, address in (
                ("relay", gateway, self.gateway),
                ("control", control, self.control),
            )
        )
        return (
            "map $http_upgrade $connection_upgrade { default upgrade; '' ''; }"
            f"server {{ listen 127.0.0.1:{port};{places} }}"
        )

    def plain(self, port: int) -> str:
        """One line for each service, with nginx's defaults for everything else."""
        return (
            f"server {{ listen 127.0.0.1:{port};"
            f" location /relay/ {{ proxy_pass http://{self.gateway}/; }}"
            f" location /control/ {{ proxy_pass http://{self.control}/; }} }}"
        )


@asynccontextmanager
async def nginx(directory: Path, site: Callable[[int], str]) -> AsyncIterator[str]:
    """Serve a site on a free port while the block runs; yields host and port."""
    program, port = binary(), free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(_MAIN.format(directory=directory, site=site(port)), "utf-8")
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program, "-p", str(directory), "-e", "stderr", "-c", str(configuration),
            stderr=log, preexec_fn=end_with_parent,
        )  # fmt: skip
    try:
        await eventually(lambda: _accepts(process, port, directory / "log"), within_s=20)
        yield f"127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _accepts(process: asyncio.subprocess.Process, port: int, log: Path) -> bool:
    assert process.returncode is None, _text(log)
    return await accepts(port)


def _text(log: Path) -> str:
    return log.read_text("utf-8")
