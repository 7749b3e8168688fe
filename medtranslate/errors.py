"""The exceptions that a person's input can cause; they are printed without a traceback."""


class MedTranslateError(Exception):
    """Something the user can put right: the message says what, where, and what to do."""


class ConfigError(MedTranslateError):
    """A pipeline file, an override or a command-line value does not fit the schema."""


class GeometryError(MedTranslateError):
    """Voxels cannot be placed in the patient, or two grids do not agree."""


class VolumeReadError(MedTranslateError):
    """A file is not a readable single 3-D volume."""


class DicomError(VolumeReadError):
    """A DICOM series is not one readable volume, or a repair asked for does not make it one."""


class VolumeWriteError(MedTranslateError):
    """A file could not be written completely; nothing is left under its final name."""


class DatasetError(MedTranslateError):
    """A dataset, a pairing of scans or a split cannot be used as asked."""


class CheckpointError(MedTranslateError):
    """A model folder or a training checkpoint is incomplete, altered or of another kind."""


class MemoryShortageError(MedTranslateError):
    """What was asked for needs more memory than there is; says how much, and what needs less."""


class MissingExtraError(MedTranslateError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed. Install it with: pip install 'medtranslate[{extra}]'"
        )
