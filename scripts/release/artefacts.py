"""The artefacts of a release: each function writes one kind into a folder, from an exported tree."""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.release.services import extras_of
from scripts.release.versions import CHART

SUMS = "SHA256SUMS"
_BLOCK = 1 << 20


def sdist_and_wheel(source: Path, out: Path, epoch: int) -> None:
    """The source distribution, and from it the wheel of pure Python. The same sources give the same bytes."""
    _build(source, out, epoch, {}, "--sdist", "--wheel")


def compiled_wheel(source: Path, out: Path, epoch: int) -> None:
    """The wheel with the hot path compiled, for this machine and this Python.

    Its tag is that of the machine that built it: a platform tag that an index takes needs a manylinux build.
    """
    _build(source, out, epoch, {"HATCH_BUILD_HOOKS_ENABLE": "1", "CFLAGS": "-g0"}, "--wheel")


def chart(source: Path, out: Path, epoch: int, helm: str) -> None:
    """The chart's package, packed by helm, then once more with times and an order that do not vary."""
    with TemporaryDirectory() as folder:
        _run([helm, "package", str(source / CHART), "--destination", folder])
        [packed] = Path(folder).glob("*.tgz")
        Path(folder, "files").mkdir()
        _run(["tar", "-xzf", str(packed), "-C", str(Path(folder, "files"))])
        repack(Path(folder, "files"), out / packed.name, epoch)
    _run([helm, "show", "chart", str(out / packed.name)])


def repack(folder: Path, package: Path, epoch: int) -> None:
    """A compressed archive of a folder's files: sorted, of nobody, at one time."""
    with package.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:  # noqa: SIM117
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in _files(folder):
                entry = tarfile.TarInfo(str(path.relative_to(folder)))
                entry.size, entry.mtime, entry.mode = path.stat().st_size, epoch, 0o644
                with path.open("rb") as content:
                    archive.addfile(entry, content)


def images(root: Path, out: Path, version: str) -> None:
    """The images of all services in one archive, for ``docker load``."""
    _run([str(root / "scripts" / "images")])
    names = [f"avatar-relay/{service}:{version}" for service in extras_of(root)]
    target = out / f"avatar-relay-images-{version}.tar.gz"
    with subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None  # noqa: S101  # a pipe was asked for
        with target.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
            shutil.copyfileobj(saving.stdout, packed, _BLOCK)
    if saving.returncode:
        raise subprocess.CalledProcessError(saving.returncode, "docker save")


def sbom(source: Path, out: Path, version: str) -> None:
    """Everything that runs in the images, with versions, licences and dependencies, in CycloneDX.

    It is read from a virtual environment with the wheel in ``out``, all services' extras, and the pinned
    versions: those that the images are built from.
    """
    [wheel] = out.glob("*-py3-none-any.whl")
    extras = sorted({extra for extras in extras_of(source).values() for extra in extras})
    with TemporaryDirectory() as folder:
        _run([sys.executable, "-m", "venv", "--without-pip", folder])
        python = str(Path(folder, "bin", "python"))
        _run([
            sys.executable, "-m", "pip", "--python", python, "install", "--quiet",
            "--disable-pip-version-check", "--constraint", str(source / "constraints.txt"),
            f"{wheel}[{','.join(extras)}]",
        ])  # fmt: skip
        _run([
            sys.executable, "-m", "cyclonedx_py", "environment", python, "--pyproject",
            str(source / "pyproject.toml"), "--output-reproducible", "--output-format", "JSON",
            "--output-file", str(out / f"avatar-relay-{version}.cdx.json"),
        ])  # fmt: skip


def checksums(out: Path) -> Path:
    """``SHA256SUMS`` of every other file, as sha256sum checks it."""
    lines = [f"{digest(path)}  {path.relative_to(out)}\n" for path in _files(out) if path.name != SUMS]
    (out / SUMS).write_text("".join(lines))
    return out / SUMS


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _build(source: Path, out: Path, epoch: int, variables: Mapping[str, str], *kinds: str) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), **variables}  # noqa: TID251  # for a child
    _run(
        [sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", str(out), str(source)],
        environment,
    )


def _run(command: Iterable[str], environment: Mapping[str, str] | None = None) -> None:
    """Run a program; what it prints goes to standard error.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    subprocess.run(list(command), check=True, stdout=sys.stderr, env=environment)
