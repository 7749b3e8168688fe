"""What can be set about prediction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from medtranslate.errors import ConfigError
from medtranslate.settings import Settings


class InferenceSettings(Settings):
    """How a whole volume is predicted."""

    window: tuple[int, int, int] | None = Field(
        None,
        description="Voxels of one window along (i, j, k); none: the whole volume at once when it"
        " fits the memory, else the largest windows that do.",
    )
    overlap: float = Field(
        0.5, ge=0, le=0.9, description="Fraction by which neighbouring windows overlap."
    )
    memory_gb: float | None = Field(
        None,
        gt=0,
        description="Memory that prediction may take, in 10^9 bytes; none: half of what is free.",
    )
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto",
        description="What computes; auto: OpenVINO where it is installed, the volume is large "
        "enough to be worth the export, and the exported graph agrees with torch.",
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="Number format; auto: bf16 where the processor computes in it."
    )


@dataclass(frozen=True)
class InferenceChoices:
    """What was said on the command line; None where the pipeline's settings hold.

    Attributes:
        memory_gb: Memory that prediction may take, in 10^9 bytes.
        engine: As :attr:`InferenceSettings.engine`.
        precision: As :attr:`InferenceSettings.precision`.
    """

    memory_gb: float | None = None
    engine: Literal["auto", "torch", "openvino"] | None = None
    precision: Literal["auto", "bf16", "fp32"] | None = None

    def apply_to(self, settings: InferenceSettings) -> InferenceSettings:
        """The settings with these choices."""
        return settings.model_copy(update=self._made())

    def are_met_by(self, described: Mapping[str, object]) -> bool:
        """Whether a prediction was made by the engine and in the precision that were asked for.

        Args:
            described: What the prediction's sidecar says, under ``Inference``.
        """
        asked = {"Engine": self.engine, "Precision": self.precision}
        return all(wanted in (None, "auto", described.get(name)) for name, wanted in asked.items())

    def to_overrides(self) -> list[str]:
        """The choices as ``--set`` writes them for a pipeline file."""
        return [f"inference.{key}={value}" for key, value in self._made().items()]

    def to_words(self) -> list[str]:
        """The choices as options of the command line."""
        given = {
            "--memory": None if self.memory_gb is None else f"{self.memory_gb:g}G",
            "--engine": self.engine,
            "--precision": self.precision,
        }
        return [word for key, value in given.items() if value for word in (key, value)]

    def _made(self) -> dict[str, float | str]:
        return {key: value for key, value in vars(self).items() if value is not None}


def parse_memory(text: str | None) -> float | None:
    """A size such as ``4G``, ``800M`` or ``1.5G`` in 10^9 bytes; None for None.

    Raises:
        ConfigError: If it is not one.

    Example:
        >>> parse_memory("4G"), parse_memory("500M")
        (4.0, 0.5)
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([MG])B?", text.strip(), re.IGNORECASE)
    if match is None or not float(match[1]):
        raise ConfigError(f"--memory {text}: expected a size above 0 such as 4G or 800M")
    return float(match[1]) * {"M": 1e-3, "G": 1.0}[match[2].upper()]
