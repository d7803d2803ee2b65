"""What waits for a reader, fetched from the server; nothing is leased by it, and the scene is not touched."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from .case import Fetched
from .client import Client, Item, ServerError
from .nrrd import read_mask
from .reading import make_id

MOST_ITEMS = 200
"""Most proposals that the server lists at once."""


def waiting(client: Client, passed: Set[str]) -> tuple[list[Item], list[Item]]:
    """What waits: (what the reader has not passed, all of it).

    Args:
        client: of the reader.
        passed: ids of cases that come later again.
    """
    # So many that one comes that was not passed.
    items = client.items(min(len(passed) + 1, MOST_ITEMS))
    return [item for item in items if item.case_id not in passed], items


def fetch(client: Client, folder: Path, item: Item) -> Fetched:
    """A case's image, as a file, and its proposal.

    Raises:
        ServerError: also where the case has another proposal by now.
        UnreadableMask: as its name says.
    """
    sha256, content = client.mask(item.case_id)
    if sha256 != item.proposal:
        raise ServerError(f"case {item.case_id} has a newer proposal; press Next", 409)
    mask = read_mask(content)
    extension, image = client.image(item.case_id)
    file = folder / f"{make_id()}{extension}"
    file.write_bytes(image)
    return Fetched(item, file, mask)
