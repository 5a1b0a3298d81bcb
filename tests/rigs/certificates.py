"""Certificates as files, of an authority made for one test."""

from pathlib import Path

import trustme


def issue(authority: trustme.CA, chain: Path, key: Path) -> None:
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(chain)
    issued.private_key_pem.write_to_path(key)
