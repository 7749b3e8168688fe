"""The mark in a NIfTI header that says a scan is synthetic and what made it.

It lies in a header extension of the comment kind, beside the text of ``descrip``: programs that
know neither pass both on, or lose them, but do not stumble.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nibabel.nifti1 import Nifti1Extension

from medtranslate.io.documents import parse_document
from medtranslate.io.stream import read_start

COMMENT_CODE = 6
"""NIfTI's code for an extension of plain text."""

_LARGEST_HEADER = 1 << 20
_LAYOUTS = {348: (148, 108, "f"), 540: (240, 168, "q")}
"""Header bytes to where ``descrip`` and ``vox_offset`` stand, and the type of the latter."""


@dataclass(frozen=True)
class HeaderTexts:
    """What a NIfTI header says in words.

    Attributes:
        description: Text of ``descrip``.
        comments: Texts of its comment extensions.
    """

    description: str
    comments: tuple[str, ...]

    def find_mark(self) -> dict[str, Any] | None:
        """The first comment that is a mark, as plain data; None if there is none."""
        for comment in self.comments:
            try:
                data = parse_document(comment)
            except ValueError:
                continue
            if data.get("Synthetic") is True:
                return data
        return None


def make_mark_extension(mark: Mapping[str, Any]) -> Nifti1Extension:
    """The header extension that holds a mark; equal marks give equal bytes.

    Args:
        mark: Plain data; ``"Synthetic": True`` among it.
    """
    text = json.dumps(dict(mark), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Nifti1Extension(COMMENT_CODE, text.encode("ascii"))


def read_header_texts(path: Path) -> HeaderTexts:
    """The texts of a NIfTI file's header; none for what is not NIfTI or is cut off.

    Extensions are walked here and not by nibabel, which hands some of them to parsers of other
    formats. One of a wrong length ends the walk.

    Raises:
        VolumeReadError: If the file is absent, empty, or not packed as its name says.
    """
    block = read_start(path, _LARGEST_HEADER, compressed=path.name.lower().endswith(".gz"))
    for order in ("<", ">"):
        length = struct.unpack(f"{order}i", block[:4].ljust(4, b"\0"))[0]
        if length in _LAYOUTS and len(block) > length + 4:
            return _texts_of(block, length, order)
    return HeaderTexts("", ())


def _texts_of(block: bytes, length: int, order: str) -> HeaderTexts:
    described, offset_place, kind = _LAYOUTS[length]
    raw = block[described : described + 80].split(b"\0")[0]
    (offset,) = struct.unpack_from(f"{order}{kind}", block, offset_place)
    end = min(int(offset), len(block)) if offset == offset and abs(offset) < len(block) else 0
    comments = []
    start = length + 4
    while block[length] and start + 8 <= end:
        size, code = struct.unpack_from(f"{order}ii", block, start)
        if size < 16 or start + size > end:
            break
        if code == COMMENT_CODE:
            text = block[start + 8 : start + size].rstrip(b"\0")
            comments.append(text.decode("utf-8", errors="replace"))
        start += size
    return HeaderTexts(raw.decode("latin-1"), tuple(comments))
