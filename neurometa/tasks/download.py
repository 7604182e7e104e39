"""Fetch one file over HTTP: resumed where it stopped, checked, and put in place only when whole."""

import hashlib
import http.client
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from neurometa.errors import UserError

_CHUNK = 1 << 16
_TIMEOUT_S = 30.0


class Source(NamedTuple):
    """A published file."""

    url: str
    size: int  # bytes
    sha256: str


def fetch(source: Source, target: Path, report: Callable[[int], None]) -> None:
    """Download `source` to `target`; what has arrived stays in `<target>.part`, and a later call goes on from there.

    Args:
        source: address, length and checksum.
        target: where the whole, checked file appears, at once; its folder is made.
        report: called with the number of bytes on disk as they arrive.
    Raises:
        UserError: the server or the network fails (what arrived is kept), or the bytes are not the published ones (they are deleted).
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not part.is_file() or part.stat().st_size != source.size:
            _receive(source, part, report)
        _check(source, part)
        part.replace(target)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        raise UserError(f"{source.url} answered {error.code} {error.reason}, expected the file: run again later") from error
    except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise UserError(f"{source.url} cannot be reached ({reason}), expected a network: connect and run again, it will resume") from error
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror or error}): make room for it or allow writing there") from error


def _receive(source: Source, part: Path, report: Callable[[int], None]) -> None:
    """Append what is missing to `part`, or start over where the server does not resume."""
    have = part.stat().st_size if part.is_file() else 0
    if have > source.size:
        have = 0
    request = urllib.request.Request(source.url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        resumes = answer.status == http.HTTPStatus.PARTIAL_CONTENT and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if resumes else 0
        if (length := answer.headers.get("Content-Length")) is not None and have + int(length) != source.size:
            raise UserError(f"{source.url} is {have + int(length)} bytes long, expected {source.size}: it is another file, run again later")
        with part.open("ab" if resumes else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                report(have)
                if have > source.size:
                    break
            file.flush()
            os.fsync(file.fileno())
    if have < source.size:
        raise UserError(f"{source.url} stopped after {have} of {source.size} bytes: run again, it will resume")


def _check(source: Source, part: Path) -> None:
    """Delete bytes that are not the published ones."""
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != source.sha256:
        part.unlink()
        raise UserError(
            f"{source.url} gave a file with sha256 {found}, expected {source.sha256}: it was deleted, run again, or get the file elsewhere"
        )
