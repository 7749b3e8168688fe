"""The BIDS dataset that a derivative dataset was made from, as the derivative speaks of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medtranslate.data.index import read_description
from medtranslate.errors import DatasetError

LINK_NAME = "raw"
"""What BIDS URIs call the dataset, as in ``bids:raw:sub-01/anat/sub-01_T1w.nii.gz``."""

_DOI = re.compile(r"(?:doi:|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/[\w.()/:;-]+)", re.ASCII)


@dataclass(frozen=True)
class Origin:
    """Where the sources of a derivative dataset lie.

    Attributes:
        root: The source dataset.
        link: Way from the derivative to it; None if it would name folders beside the dataset's own,
            which may be called after people.
        doi: Its DOI, ``10.1234/...``; None if it has none.
    """

    root: Path
    link: str | None
    doi: str | None

    @classmethod
    def of(cls, root: Path, out: Path) -> Origin:
        """Look at the source dataset from the folder of the derivative.

        Raises:
            DatasetError: If ``root`` is not a BIDS dataset.
        """
        if not (root / "dataset_description.json").is_file():
            raise DatasetError(
                f"{root}: is not a BIDS dataset: it holds no dataset_description.json. Give the"
                " folder that does, or use 'medtranslate translate' for other scans"
            )
        found = _DOI.fullmatch(read_description(root).get("DatasetDOI", "").strip())
        return cls(root, _link(root, out), found[1] if found else None)

    def uri_of(self, scan: Path) -> str | None:
        """The BIDS URI of a scan of the dataset; None without a link."""
        if self.link is None:
            return None
        return f"bids:{LINK_NAME}:{scan.relative_to(self.root).as_posix()}"

    def to_json(self) -> dict[str, Any]:
        """Keys of the derivative's ``dataset_description.json``; empty if nothing can be told."""
        source = {
            **({} if self.link is None else {"URL": self.link}),
            **({} if self.doi is None else {"DOI": f"doi:{self.doi}"}),
        }
        return {
            **({"SourceDatasets": [source]} if source else {}),
            **({} if self.link is None else {"DatasetLinks": {LINK_NAME: self.link}}),
        }


def _link(root: Path, out: Path) -> str | None:
    way = Path(os.path.relpath(root.resolve(), out.resolve()))
    steps = [part for part in way.parts if part != ".."]
    return way.as_posix() if len(steps) <= 1 else None
