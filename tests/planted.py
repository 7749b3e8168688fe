"""A made-up name, birth date and number: planted wherever data can hold them, and looked for."""

import base64
import gzip
import io
import json
import re
import zipfile
import zlib

import nibabel
from nibabel.nifti1 import Nifti1Extension
from pydicom import config
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset

from medtranslate.io.dicom.headers import quiet

SECRETS = ("Zyxwendolyn", "19370229", "MRN4711007")
_OF_PIXELS = ("RescaleType", "PixelSpacingCalibrationDescription")
_EMBEDDED = re.compile(rb"base64,([A-Za-z0-9+/=]{40,})")


def plant(source, path):
    """A copy of a scan with the secrets in every text of header, extension and sidecar."""
    image = nibabel.load(source)
    text = " ".join(SECRETS).encode()
    image.header["descrip"] = text
    image.header["aux_file"] = SECRETS[0].encode()
    image.header["intent_name"] = SECRETS[1].encode()
    image.header.extensions.append(Nifti1Extension(6, text))
    image.header.extensions.append(Nifti1Extension(4, text))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[14:32] = SECRETS[2].encode().ljust(18, b"\0")  # db_name, which nibabel does not write
    path.write_bytes(gzip.compress(bytes(data)))
    sidecar = {"PatientName": SECRETS[0], "PatientBirthDate": SECRETS[1], "PatientID": SECRETS[2]}
    path.with_name(path.name.removesuffix(".nii.gz") + ".json").write_text(json.dumps(sidecar))


def plant_everywhere(dataset):
    """The secrets in every text of a DICOM object that does not say how its pixels are meant."""
    with quiet(), config.disable_value_validation():
        _fill(dataset)
        nested = Dataset()
        _fill(nested)
        for keyword in ("RequestAttributesSequence", "OtherPatientIDsSequence"):
            setattr(dataset, keyword, [nested])
        block = dataset.private_block(0x0043, SECRETS[0], create=True)
        for number, secret in enumerate(SECRETS):
            block.add_new(number, "LO", secret)


def _fill(dataset):
    texts = {"PN": SECRETS[0], "DA": SECRETS[1], "DT": SECRETS[1]}
    texts |= dict.fromkeys(("LO", "SH", "LT", "ST", "UC", "UT"), SECRETS[2])
    for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
        if vr in texts and not retired and keyword and keyword not in _OF_PIXELS and tag >> 16 > 4:
            dataset.add_new(tag, vr, texts[vr])


def find_secrets(folder):
    """Names and files that hold a secret, after unpacking what they hold packed."""
    found = []
    for path in sorted(folder.rglob("*")):
        texts = [path.relative_to(folder).as_posix().encode()]
        if path.is_file():
            texts += unpack(path.read_bytes())
        if any(s.lower().encode() in text.lower() for s in SECRETS for text in texts):
            found.append(path.relative_to(folder).as_posix())
    return found


def unpack(data):
    """The bytes themselves, and those that are packed in them."""
    yield data
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield from unpack(archive.read(name))
    for match in _EMBEDDED.finditer(data):
        picture = base64.b64decode(match[1])
        yield picture
        for start in (found.start() for found in re.finditer(rb"\x78[\x01\x9c\xda]", picture)):
            try:
                yield zlib.decompressobj().decompress(picture[start:])
            except zlib.error:
                continue
