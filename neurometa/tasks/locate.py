"""Find a data file on this machine, or download it."""

import os
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from neurometa.errors import UserError
from neurometa.tasks.download import Source, fetch


def locate(data: Path | None, name: str, source: Source) -> Path:
    """Path of a data file: under `data`, else under $NEUROMETA_DATA, else under ~/.cache/neurometa, downloaded if need be.

    A directory that somebody named is taken at its word: where the file is not in it, nothing else is searched and nothing is downloaded.

    Args:
        data: directory given by the user; None for none.
        name: file inside the directory, such as "omniglot/images_background.zip".
        source: where it is published.
    Raises:
        UserError: it is not where it was said to be, or it can neither be found nor downloaded; the message names both ways out.
    """
    for given, folder in (("--data", data), ("$NEUROMETA_DATA", os.environ.get("NEUROMETA_DATA"))):
        if folder:
            if (path := Path(folder).expanduser() / name).is_file():
                return path
            raise UserError(
                f"{given} is {folder}, which has no {name}: put the file there, name another directory, "
                "or set neither --data nor $NEUROMETA_DATA to download it"
            )
    path = Path.home() / ".cache" / "neurometa" / name
    if not path.is_file():
        _download(source, path, name)
    return path


def _download(source: Source, path: Path, name: str) -> None:
    """Download with a progress bar on the error stream."""
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task(f"downloading {name}", total=source.size)
            fetch(source, path, lambda done: progress.update(bar, completed=done))
    except UserError as error:
        raise UserError(
            f"{name} is not on this machine and could not be downloaded: {error}; "
            f"or name a directory that has {name} with --data or $NEUROMETA_DATA"
        ) from error
