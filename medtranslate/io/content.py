"""Tell scans apart by what their files hold, whatever the files are called."""

from __future__ import annotations

from pathlib import Path

from medtranslate.io.dicom.files import open_store
from medtranslate.io.dicom.location import SeriesLocation
from medtranslate.io.nifti import find_pair
from medtranslate.io.stream import check_file
from medtranslate.io.suffixes import scan_suffix
from medtranslate.io.textheader import read_metaimage_header, read_nrrd_header
from medtranslate.provenance import hash_bytes, hash_file

_DETACHED = {".mhd": read_metaimage_header, ".nhdr": read_nrrd_header}


def hash_content(path: Path) -> str:
    """SHA-256 of all files that a scan consists of, without their names, in hexadecimal.

    Of a scan in one file that is the hash of the file. Of one DICOM series among several it is that
    of the whole place they lie in; of a DICOMDIR, that of its folder.

    Raises:
        VolumeReadError: If a file is absent, empty or not a regular one, or a header does not say
            which file holds its voxels.
        GeometryError: If such a header does not say where the voxels lie.
    """
    place = SeriesLocation.parse(path).place
    if not place.is_dir():
        check_file(place)
    files = _list_files(place)
    hashes = [hash_file(file) for file in files]
    return hashes[0] if files == [place] else hash_bytes("".join(sorted(hashes)).encode())


def hash_input(path: Path) -> str:
    """SHA-256 of all that decides what reading a path gives, in hexadecimal.

    That is the content and, of DICOM, which series of a place is meant and how it is repaired.

    Raises:
        VolumeReadError: As :func:`hash_content`.
        GeometryError: As :func:`hash_content`.
    """
    location = SeriesLocation.parse(path)
    content = hash_content(path)
    if location.path == location.place:
        return content
    return hash_bytes(f"{content}\n{location.series}\n{location.fixes.texts}".encode())


def _list_files(place: Path) -> list[Path]:
    if place.is_dir():
        with open_store(place) as store:
            return [place / key for key in store.keys]
    if place.name.lower() == "dicomdir":
        return _list_files(place.parent)
    suffix = (scan_suffix(place) or place.suffix).lower()
    if suffix in _DETACHED:
        return list(dict.fromkeys([place, _DETACHED[suffix](place).data_path]))
    if suffix in (".hdr", ".img"):
        return list(find_pair(place))
    return [place]
