"""Folders by path or by hub name. What is in the local cache is taken from there; only a name that somebody
asked for is ever downloaded, with a progress bar, and never anything but the files asked for.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class Missing(ValueError):
    """Neither a folder nor a name that the hub could be asked for."""


def local_folder(path_or_name: Path | str, patterns: Sequence[str]) -> Path:
    """Return the folder of `path_or_name`, downloaded where it is the name of something on the hub.

    Args:
        path_or_name: a folder, or `owner/name`. A folder wins.
        patterns: the files that are wanted of a name, such as `*.safetensors`.

    Raises:
        Missing: it is neither; or it could not be downloaded, and why.
    """
    if found := cached_folder(path_or_name):
        return found
    name = str(path_or_name)
    if not HUB_NAME.fullmatch(name):
        raise Missing(f"there is no folder {name}")
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except HFValidationError as exc:
        raise Missing(f"there is no folder {name}, nor can the hub have such a name") from exc
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as exc:
        raise Missing(
            f"{name} is not in the local cache and the hub cannot be reached (HF_HUB_OFFLINE=0 allows it)"
        ) from exc
    except HfHubHTTPError as exc:
        raise Missing(f"{name} cannot be downloaded: {str(exc).splitlines()[0]}") from exc


def cached_folder(path_or_name: Path | str) -> Path | None:
    """Return the folder of `path_or_name` if all of it is on this machine, else None; asks nobody."""
    if Path(path_or_name).is_dir():
        return Path(path_or_name)
    if not HUB_NAME.fullmatch(str(path_or_name)):
        return None
    try:
        cached = Path(snapshot_download(str(path_or_name), local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return cached if _is_whole(cached) else None


def _is_whole(folder: Path) -> bool:
    """Whether a cached folder has all of its weights; a download that was cut short has not."""
    wanted = {
        shard
        for index in folder.glob("*.safetensors.index.json")
        for shard in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    }
    present = {file.name for file in folder.glob("*.safetensors")}
    return bool(present) and wanted <= present
