"""The data directory: whether it can be written to, and how full its disk is."""

import os
import shutil
import tempfile
from pathlib import Path

from receiver.cli.checkup.findings import Finding, ok, warning, wrong
from receiver.settings import Settings

MIB = 1024 * 1024
_FULL, _TIGHT = 100 * MIB, 1024 * MIB


def look(settings: Settings) -> list[Finding]:
    """Where files of ours go: the data directory, and the database's own where that is another."""
    database = settings.sqlite_path
    places = [settings.data_dir.absolute(), *([database.absolute().parent] if database else [])]
    return [finding for place in dict.fromkeys(places) for finding in _of(place)]


def _of(place: Path) -> list[Finding]:
    there = next(each for each in (place, *place.parents) if each.exists())
    if (why := _unwritable(there)) is not None:
        whose = "TASKWEIR_DATA_DIR (or TASKWEIR_DATABASE_URL)"
        return [wrong("disk", f"{place} cannot be written to: {why}", f"Let {whose} lead where we may write.")]
    return [_room(place, shutil.disk_usage(there).free)]


def _unwritable(there: Path) -> str | None:
    """Why a file cannot be made there; None where it can, and the one that was tried is gone."""
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _room(place: Path, free: int) -> Finding:
    """What to say of a disk with so many bytes left."""
    told = f"{place}: {free // MIB:,} MiB are free"
    remedy = "Free some, or lower TASKWEIR_RETENTION_DAYS; where a write finds no room, calls are answered 503."
    if free < _FULL:
        return wrong("disk", told, remedy)
    return warning("disk", told, remedy) if free < _TIGHT else ok("disk", told)
