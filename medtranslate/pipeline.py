"""The pipeline file: its schema, and the functions that build parts from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator, model_validator

from medtranslate.data.augmentation import AugmentationSettings
from medtranslate.data.scans import Selector
from medtranslate.data.split import SplitSettings
from medtranslate.data.visits import VisitSettings
from medtranslate.errors import ConfigError, DatasetError
from medtranslate.inference.settings import InferenceSettings
from medtranslate.io.documents import read_text
from medtranslate.methods.base import AbstractMethod
from medtranslate.methods.cgan import Cgan, CganSettings
from medtranslate.methods.progression import Progression, ProgressionSettings
from medtranslate.methods.reaction_diffusion import ReactionDiffusionSettings
from medtranslate.methods.regression import Regression, RegressionSettings
from medtranslate.methods.training import TrainingSettings
from medtranslate.metrics.settings import EvaluationSettings
from medtranslate.networks.generator import Generator
from medtranslate.networks.progression import ProgressionNetwork
from medtranslate.networks.settings import GeneratorSettings
from medtranslate.preprocess.settings import (
    PercentileIntensity,
    PreprocessSettings,
    SharedIntensity,
)
from medtranslate.settings import (
    Settings,
    apply_overrides,
    parse_yaml,
    validate_settings,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

METHODS: dict[str, Callable[..., AbstractMethod]] = {"cgan": Cgan, "regression": Regression}
"""Ways of learning the mapping, by the name the pipeline file gives them; progression, which learns
from visits instead of contrasts, is built by :func:`build_progression`, and reaction_diffusion has
no network."""

MethodSettings = Annotated[
    CganSettings | RegressionSettings | ProgressionSettings | ReactionDiffusionSettings,
    Field(discriminator="name"),
]

_LARGEST_FILE_BYTES = 1 << 20
"""A pipeline file has a few thousand bytes."""


class Pipeline(Settings):
    """A whole job: which scans, how they are prepared, learned, predicted and scored."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,80}$", description="Name of the pipeline.")
    description: str = Field("", description="One sentence for the report and the model card.")
    source: str = Field(description="Contrast selector of the scans that go in, such as T1w.")
    target: str = Field(description="Contrast selector of the scans to predict, such as T2w.")
    mask: str | None = Field(
        None, description="Selector of given masks, such as mask+desc-brain; none: computed."
    )
    visits: VisitSettings | None = Field(
        None, description="Which visits are paired; for method progression, and only for it."
    )
    split: SplitSettings = Field(SplitSettings(), description="Who trains, validates and tests.")
    preprocess: PreprocessSettings = Field(description="How scans are prepared.")
    method: MethodSettings = Field(description="How the mapping is learned.")
    augmentation: AugmentationSettings = Field(
        AugmentationSettings(), description="Random changes of the training patches."
    )
    train: TrainingSettings | None = Field(
        None,
        description="How long and how fast to train; needed by every method but"
        " reaction_diffusion, which is fitted.",
    )
    inference: InferenceSettings = Field(
        InferenceSettings(), description="How a whole volume is predicted."
    )
    evaluation: EvaluationSettings = Field(
        EvaluationSettings(), description="How held-out people are scored."
    )

    @field_validator("source", "target", "mask")
    @classmethod
    def _is_selector(cls, text: str | None) -> str | None:
        """Names of outputs are made of these, and a model may come from anybody."""
        try:
            if text is not None:
                Selector.parse(text)
        except DatasetError as error:
            raise ValueError(str(error)) from None
        return text

    @model_validator(mode="after")
    def _fits_together(self) -> Pipeline:
        self._speaks_of_training()
        self._speaks_of_visits()
        if self.is_progression and self.train is not None and self.train.min_steps is not None:
            raise ValueError("train.min_steps goes with methods that turn a contrast into another")
        if self.is_progression and self.is_sharded:
            raise ValueError("train.sharding goes with methods that turn a contrast into another")
        asked = self.evaluation
        if self.is_progression and (asked.uncertainty or asked.audit or asked.downstream):
            raise ValueError(
                "evaluation.uncertainty, audit and downstream go with methods that turn a contrast"
                " into another; evaluation.samples asks for the spread of progression"
            )
        if (self.preprocess.mask == "given") != (self.mask is not None):
            raise ValueError("preprocess.mask: given and a top-level 'mask' selector go together")
        divisor = self.method.generator.divisor
        if any(size % divisor for size in self._sizes()):
            raise ValueError(f"sizes in train.patch_size must be multiples of {divisor}")
        if self.evaluation.uncertainty and not self.is_mirrored:
            raise ValueError(
                "evaluation.uncertainty needs augmentation.flip_probability above 0: only a model"
                " that saw mirrored scans can be shown them"
            )
        return self

    def _speaks_of_training(self) -> None:
        """A network is trained; rates are fitted, and what trains would be of no use."""
        if not self.is_fitted:
            if self.train is None:
                raise ValueError(
                    f"method {self.method.name} is trained: give 'train', such as"
                    " train: {time_budget: 20m}"
                )
            return
        unused = ["train"] * (self.train is not None)
        unused += ["augmentation"] * (self.augmentation != AugmentationSettings())
        if unused:
            raise ValueError(
                f"method {self.method.name} is fitted, not trained, and would not use"
                f" {' and '.join(unused)}; leave {'it' if len(unused) == 1 else 'them'} out"
            )

    def _speaks_of_visits(self) -> None:
        """Progression needs visits of one contrast and one scale; every other method none of it."""
        shared = isinstance(self.preprocess.target_intensity, SharedIntensity)
        if not self.is_progression:
            if self.visits is not None:
                raise ValueError(
                    "'visits' goes with method {name: progression} or {name: reaction_diffusion}"
                )
            if self.source == self.target:
                raise ValueError(
                    f"source and target are both '{self.source}'; name two contrasts, or set "
                    "method: {name: progression} and a 'visits' section"
                )
            if shared:
                raise ValueError("target_intensity 'shared' goes with method progression alone")
            return
        if self.visits is None:
            raise ValueError("method progression needs a 'visits' section, such as visits: {}")
        if self.source != self.target:
            raise ValueError(
                f"method progression follows one contrast: source '{self.source}' and target "
                f"'{self.target}' must be the same"
            )
        if not shared and self.preprocess.target_intensity != self.preprocess.source_intensity:
            raise ValueError(
                "method progression compares visits: set preprocess.target_intensity to"
                " {name: shared}, or both intensities to the same window"
            )
        if isinstance(self.preprocess.target_intensity, PercentileIntensity):
            raise ValueError(
                "method progression: a percentile of each visit would hide change; set"
                " preprocess.target_intensity to {name: shared}"
            )
        if self.preprocess.mask == "given":
            raise ValueError("method progression computes its mask; choose another preprocess.mask")
        self._names_a_region(self.visits)

    def _names_a_region(self, visits: VisitSettings) -> None:
        """What grows a region needs one; reaction and diffusion take nothing else."""
        if self.grows_region and visits.labels is None:
            raise ValueError("method.generator.growing_region needs visits.labels")
        if self.preprocess.further_regions and visits.labels is None:
            raise ValueError("preprocess.further_regions are values of visits.labels: name those")
        if isinstance(self.method, ReactionDiffusionSettings):
            if visits.labels is None:
                raise ValueError("method reaction_diffusion grows a region: it needs visits.labels")
            if visits.covariates:
                raise ValueError(
                    "method reaction_diffusion has one pair of rates for everybody and would not"
                    f" use visits.covariates ({', '.join(visits.covariates)}); leave them out, or"
                    " use method progression"
                )

    @property
    def is_progression(self) -> bool:
        """Whether the job follows visits of a person, instead of turning contrasts into others."""
        return isinstance(self.method, ProgressionSettings | ReactionDiffusionSettings)

    @property
    def is_fitted(self) -> bool:
        """Whether the model is fitted to the training people without updates of a network."""
        return isinstance(self.method, ReactionDiffusionSettings)

    @property
    def training(self) -> TrainingSettings:
        """How the network is trained.

        Raises:
            ConfigError: If there is none.
        """
        if self.train is None:
            raise ConfigError(
                f"'{self.name}': method {self.method.name} is fitted; it has no updates to make"
            )
        return self.train

    @property
    def is_sharded(self) -> bool:
        """Whether each of several processes holds a part of the weights in training."""
        return self.train is not None and self.train.sharding == "full"

    @property
    def effort(self) -> str:
        """For how long the model was trained, in words."""
        if self.train is None:
            return "fitted, without updates"
        return self.train.time_budget or f"{self.train.num_steps} steps"

    @property
    def num_seeds(self) -> int:
        """Trainings that a run makes of each split."""
        return 1 if self.train is None else self.train.seeds

    @property
    def task(self) -> str:
        """What is predicted, in words."""
        if self.is_progression:
            return f"{self.source} at a later visit"
        return f"{self.source} to {self.target}"

    @property
    def generator_settings(self) -> GeneratorSettings:
        """Size of the generator that turns a contrast into another.

        Raises:
            ConfigError: If the pipeline follows visits.
        """
        self.need_translation()
        if isinstance(self.method, ProgressionSettings | ReactionDiffusionSettings):
            raise TypeError("what follows visits is no generator")
        return self.method.generator

    def need_translation(self) -> None:
        """Refuse what only a model that turns a contrast into another can do.

        Raises:
            ConfigError: If the pipeline follows visits; names the right commands.
        """
        if self.is_progression:
            raise ConfigError(
                f"'{self.name}' simulates progression: it turns no contrast into another. Use"
                " 'medtranslate train', then 'medtranslate simulate MODEL BASELINE --at 1y --out"
                " DIR'"
            )

    @property
    def grows_region(self) -> bool:
        """Whether a labelled region grows into tissue that stays where it is."""
        method = self.method
        return isinstance(method, ProgressionSettings) and method.generator.growing_region

    @property
    def is_monotone(self) -> bool:
        """Whether a followed region is declared never to turn back."""
        method = self.method
        if isinstance(method, ProgressionSettings):
            return method.generator.monotone
        return self.is_fitted

    @property
    def is_thin(self) -> bool:
        """Whether features of a patch are as few as two voxels along the first axis.

        Processors give wrong gradients there in bf16: those of a 3x3x3 convolution by oneDNN 3.12,
        the library that torch 2.13 computes by, are partly memory that nobody wrote.
        """
        if self.is_fitted or self.method.generator.dimensions != "3d":
            return False
        return self.training.patch_size[0] <= 2 * self.method.generator.divisor

    @property
    def is_mirrored(self) -> bool:
        """Whether training mirrors scans, so that the model can be shown mirrored ones."""
        return self.augmentation.flip_probability > 0

    @property
    def is_levelled(self) -> bool:
        """Whether targets have no unit, so that training and prediction level them."""
        return isinstance(self.preprocess.target_intensity, PercentileIntensity)

    def _sizes(self) -> tuple[int, ...]:
        if self.train is None:
            return ()
        flat = self.method.generator.dimensions == "2.5d"
        return self.train.patch_size[: 2 if flat else 3]


def read_pipeline(path: Path, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a pipeline file and apply ``--set`` overrides.

    Raises:
        ConfigError: Every error at once, with line numbers.
    """
    try:
        text = read_text(path, largest=_LARGEST_FILE_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the path of a pipeline file") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as text ({error})") from error
    data = apply_overrides(parse_yaml(text, where=str(path)), overrides)
    return validate_settings(Pipeline, data, where=str(path), source=text)


def pipeline_from_json(data: dict[str, Any], *, where: str) -> Pipeline:
    """The pipeline recorded in a run folder or model. Raises ConfigError as above."""
    return validate_settings(Pipeline, data, where=where)


def pipeline_schema() -> dict[str, Any]:
    """JSON Schema of the pipeline file."""
    return Pipeline.model_json_schema()


def build_generator(pipeline: Pipeline) -> Generator:
    """An untrained generator of the size the pipeline asks for.

    Raises:
        ConfigError: If the pipeline follows visits; see :func:`build_progression`.
    """
    return Generator(pipeline.generator_settings)


def build_method(pipeline: Pipeline, generator: Generator, fabric: Fabric) -> AbstractMethod:
    """The method that will train ``generator`` on the device of ``fabric``."""
    return METHODS[pipeline.method.name](generator, pipeline.method, fabric)


def build_progression_network(pipeline: Pipeline, *, num_conditions: int) -> ProgressionNetwork:
    """An untrained progression network of the size the pipeline asks for.

    Raises:
        ConfigError: If the pipeline turns contrasts into others.
    """
    if not isinstance(pipeline.method, ProgressionSettings):
        raise ConfigError(
            f"'{pipeline.name}' predicts {pipeline.target} from {pipeline.source}; it knows nothing"
            " of time. Use 'medtranslate translate MODEL SOURCE --out FILE'"
        )
    return ProgressionNetwork(pipeline.method.generator, num_conditions=num_conditions)


def build_progression(
    pipeline: Pipeline, network: ProgressionNetwork, fabric: Fabric
) -> Progression:
    """The method that will train ``network`` on pairs of visits.

    Raises:
        ConfigError: If the pipeline turns contrasts into others.
    """
    if not isinstance(pipeline.method, ProgressionSettings):
        raise ConfigError(
            f"'{pipeline.name}': method {pipeline.method.name} does not follow visits"
        )
    return Progression(network, pipeline.method, fabric)
