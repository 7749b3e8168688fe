"""How a disease changes a simulated person: atrophy, a growing tumour, lesions that come and go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from medtranslate.geometry import Geometry
from medtranslate.phantom.anatomy import Template
from medtranslate.phantom.contrast import Tissue
from medtranslate.phantom.deformation import Displacement, integrate_velocity
from medtranslate.phantom.fields import Field, grid_points
from medtranslate.phantom.growth import GrowthDomain, grow, make_domain, relative_diffusivity
from medtranslate.phantom.mass_effect import swelling_velocity
from medtranslate.phantom.pathology import Lesion, draw_lesions, scale_lesions
from medtranslate.phantom.person import Anatomy, Body, Person

Disease = Literal["atrophy", "tumour", "lesions"]
DISEASES: tuple[Disease, ...] = get_args(Disease)

VISIBLE_DENSITY = 0.2
"""Density from which on a tumour is seen, and belongs to its mask."""

_CLEAR_DENSITY = 0.3
_SWELLING = 0.3
_SEED_MM = 3.0
_GROWING_STEP_YEARS = 0.05
_LONGEST_GROWTH_YEARS = 20.0
_NO_LESION = 0.05


@dataclass(frozen=True, eq=False)
class Stage:
    """A person at one time.

    Attributes:
        anatomy: What lies in each voxel.
        masks: What the disease made, by label: boolean, shape ``(i, j, k)``.
        volumes_ml: True volumes by region, millilitres.
        pulled: Shape ``(3, i, j, k)``, millimetres; where the tissue in each voxel was at the
            first visit, relative to the voxel; None where nothing moves.
        density: Density of tumour cells, 0 to 1; None without a tumour.
    """

    anatomy: Anatomy
    masks: Mapping[str, np.ndarray]
    volumes_ml: Mapping[str, float]
    pulled: np.ndarray | None = None
    density: np.ndarray | None = None


class AbstractCourse(ABC):
    """A disease of one person, on one grid."""

    @abstractmethod
    def stage(self, years: float) -> Stage:
        """The person so long after the first visit."""


@dataclass(frozen=True)
class Pace:
    """What a disease's covariates make of it, drawn for one person.

    Attributes:
        covariates: What the table of participants tells, by column; those that do not drive too.
        rate: Speed relative to that of a typical person of the faster group.
    """

    covariates: Mapping[str, str]
    rate: float


GROUPS: dict[Disease, tuple[str, str, str]] = {
    "atrophy": ("diagnosis", "control", "patient"),
    "tumour": ("grade", "low", "high"),
    "lesions": ("treatment", "drug", "none"),
}
"""Column that drives a disease, with its slower and its faster value."""

_SLOW: dict[Disease, float] = {"atrophy": 0.3, "tumour": 0.35, "lesions": 0.25}
_AGE_EFFECT = 0.02
_MEAN_AGE = 43
_PERSONAL_SPREAD = 0.08


def draw_pace(disease: Disease, generator: np.random.Generator, person: Person) -> Pace:
    """Draw the covariates and the speed of a person's disease.

    The disease's column of :data:`GROUPS` drives it; in atrophy every year of age above the mean
    adds two per cent. ``education_years`` drives nothing, and neither does sex.
    """
    column, slow, fast = GROUPS[disease]
    is_fast = bool(generator.integers(0, 2))
    education = int(generator.integers(8, 21))
    rate = (1.0 if is_fast else _SLOW[disease]) * generator.lognormal(0.0, _PERSONAL_SPREAD)
    if disease == "atrophy":
        rate *= 1.0 + _AGE_EFFECT * (person.age - _MEAN_AGE)
    covariates = {column: fast if is_fast else slow, "education_years": str(education)}
    return Pace(covariates, float(rate))


def start_course(
    disease: Disease,
    generator: np.random.Generator,
    person: Person,
    template: Template,
    geometry: Geometry,
    *,
    rate: float,
) -> AbstractCourse:
    """The course of a disease that proceeds at ``rate`` (see :class:`Pace`)."""
    if disease == "atrophy":
        return AtrophyCourse(person, template, geometry, ageing_per_year=0.45 * rate)
    if disease == "lesions":
        lesions = draw_histories(generator, person, template, new_per_year=8.0 * rate)
        return LesionCourse(person, template, geometry, lesions)
    return TumourCourse(
        person,
        template,
        geometry,
        generator,
        diffusivity=20.0 * rate,
        proliferation=12.0 * rate,
    )


class AtrophyCourse(AbstractCourse):
    """Tissue gives way to fluid along a stationary velocity, at a constant rate."""

    def __init__(
        self, person: Person, template: Template, geometry: Geometry, *, ageing_per_year: float
    ) -> None:
        """About 4 per cent of brain tissue are lost to one unit of ageing."""
        self._person = person
        self._body = Body(person, template, geometry)
        self._per_year = ageing_per_year

    @property
    def velocity(self) -> Displacement:
        """Millimetres a year along which the anatomy is pulled."""
        shrinking = self._body.shrinking()
        return replace(shrinking, vectors=self._per_year * shrinking.vectors)

    def stage(self, years: float) -> Stage:
        """As :meth:`AbstractCourse.stage`."""
        ageing = self._person.ageing + self._per_year * years
        anatomy = self._body.anatomy(ageing, self._person.lesions)
        tissue = anatomy.fractions[[Tissue.GREY_MATTER, Tissue.WHITE_MATTER, Tissue.LESION]]
        ventricles = self._body.ventricles(ageing, tissue.sum(axis=0))
        velocity = self.velocity
        flow = integrate_velocity(replace(velocity, vectors=years * velocity.vectors))
        volumes = measure_tissues(anatomy) | {
            "ventricles": float(ventricles.sum()) * self._body.voxel_ml
        }
        return Stage(anatomy, {"ventricles": ventricles >= 0.5}, volumes, pulled=flow.vectors)


@dataclass(frozen=True, eq=False)
class LesionHistory:
    """One lesion in the course of time.

    Attributes:
        lesion: At its largest.
        onset: When it appears, years after the first visit; negative if it was there before.
        growth_years: Time constant of its growth.
        resolves: When it starts to shrink; infinite if it never does.
        fading_years: Time constant of its shrinking.
    """

    lesion: Lesion
    onset: float
    growth_years: float
    resolves: float
    fading_years: float

    def size(self, years: float) -> float:
        """Radius relative to the largest one."""
        if years <= self.onset:
            return 0.0
        grown = 1.0 - np.exp(-(years - self.onset) / self.growth_years)
        return float(grown * np.exp(-max(years - self.resolves, 0.0) / self.fading_years))


_HORIZON_YEARS = 12.0


def draw_histories(
    generator: np.random.Generator, person: Person, template: Template, *, new_per_year: float
) -> tuple[LesionHistory, ...]:
    """Known lesions, of which some resolve, and new ones that appear at random times."""
    number = int(generator.poisson(new_per_year * _HORIZON_YEARS))
    new = draw_lesions(generator, template, number=number)
    histories = []
    for index, lesion in enumerate((*person.lesions, *new)):
        is_new = index >= len(person.lesions)
        onset = generator.uniform(0.0, _HORIZON_YEARS) if is_new else -generator.uniform(0.5, 6.0)
        delay = generator.uniform(0.3, 3.0) if generator.random() < 0.3 else np.inf
        histories.append(
            LesionHistory(
                lesion,
                onset=float(onset),
                growth_years=float(generator.uniform(0.1, 0.5)),
                resolves=float(max(onset, 0.0) + delay),
                fading_years=float(generator.uniform(0.4, 1.5)),
            )
        )
    return tuple(histories)


class LesionCourse(AbstractCourse):
    """Lesions appear, grow, and some resolve; nothing moves."""

    def __init__(
        self,
        person: Person,
        template: Template,
        geometry: Geometry,
        histories: tuple[LesionHistory, ...],
    ) -> None:
        """Follow ``histories`` in ``person``."""
        self._body = Body(person, template, geometry)
        self._person = person
        self._histories = histories
        self._before = self._lesions(0.0)

    def _lesions(self, years: float) -> np.ndarray:
        return self._see(years).lesion >= 0.5

    def _see(self, years: float) -> Anatomy:
        present = tuple(
            lesion
            for history in self._histories
            if (size := history.size(years)) > _NO_LESION
            for lesion in scale_lesions((history.lesion,), size)
        )
        return self._body.anatomy(self._person.ageing, present)

    def stage(self, years: float) -> Stage:
        """As :meth:`AbstractCourse.stage`."""
        anatomy = self._see(years)
        lesion = anatomy.lesion >= 0.5
        masks = {"newlesion": lesion & ~self._before, "resolvedlesion": self._before & ~lesion}
        volumes = measure_tissues(anatomy) | {"lesion": anatomy.lesion_volume_ml}
        return Stage(anatomy, masks, volumes)


class TumourCourse(AbstractCourse):
    """A tumour grows by reaction and diffusion, and pushes the brain aside."""

    def __init__(
        self,
        person: Person,
        template: Template,
        geometry: Geometry,
        generator: np.random.Generator,
        *,
        diffusivity: float,
        proliferation: float,
    ) -> None:
        """Seed a tumour and let it grow to 3 to 12 ml, which is the first visit."""
        self._person = replace(person, lesions=())
        self._template = template
        self._geometry = geometry
        body = Body(self._person, template, geometry)
        self._healthy = body.anatomy(person.ageing, ())
        self._voxel_ml = body.voxel_ml
        grey, white = self._healthy.fractions[[Tissue.GREY_MATTER, Tissue.WHITE_MATTER]]
        self._domain = make_domain(relative_diffusivity(grey, white), spacing=geometry.spacing)
        self._pace = {"diffusivity": diffusivity, "proliferation": proliferation}
        self._first = self._grow_to(
            plant(generator, self._healthy, self._domain), float(generator.uniform(3.0, 12.0))
        )
        self._back = self._swell(self._first)

    @property
    def domain(self) -> GrowthDomain:
        """Where cells can move, before anything was pushed aside."""
        return self._domain

    def density(self, years: float) -> np.ndarray:
        """Density in the anatomy before anything was pushed aside, shape ``(i, j, k)``."""
        return grow(self._first, self._domain, years=years, **self._pace)

    def _grow_to(self, density: np.ndarray, volume_ml: float) -> np.ndarray:
        for _ in range(round(_LONGEST_GROWTH_YEARS / _GROWING_STEP_YEARS)):
            if np.count_nonzero(density >= VISIBLE_DENSITY) * self._voxel_ml >= volume_ml:
                break
            density = grow(density, self._domain, years=_GROWING_STEP_YEARS, **self._pace)
        return density

    def _swell(self, density: np.ndarray) -> Displacement:
        """Velocity outwards, for unit time."""
        fractions = self._healthy.fractions
        fluid = fractions[Tissue.CSF]
        brain = fractions[[Tissue.GREY_MATTER, Tissue.WHITE_MATTER, Tissue.CSF]].sum(axis=0)
        spacing = self._geometry.spacing[0]
        vectors = swelling_velocity(_SWELLING * density, fluid, brain >= 0.5, spacing_mm=spacing)
        return Displacement(vectors, self._geometry.affine[:3, 3], spacing)

    def stage(self, years: float) -> Stage:
        """As :meth:`AbstractCourse.stage`."""
        density = self.density(years)
        outward = self._swell(density)
        world = grid_points(self._geometry.shape, outward.origin, outward.spacing)
        inward = integrate_velocity(replace(outward, vectors=-outward.vectors))
        pulled = inward.vectors
        body = Body(self._person, self._template, self._geometry, pulled=pulled)
        anatomy = body.anatomy(self._person.ageing, ())
        moved = Field(density, outward.origin, outward.spacing).at(world + pulled)
        at_first = integrate_velocity(self._back).move(world + pulled) - world
        anatomy = infiltrate(anatomy, moved)
        mask = moved >= VISIBLE_DENSITY
        volumes = measure_tissues(anatomy) | {
            "tumor": float(np.count_nonzero(mask)) * self._voxel_ml
        }
        return Stage(anatomy, {"tumor": mask}, volumes, pulled=at_first, density=moved)


def plant(generator: np.random.Generator, anatomy: Anatomy, domain: GrowthDomain) -> np.ndarray:
    """A small ball of cells somewhere in the white matter of the upper brain."""
    spacing = anatomy.geometry.spacing[0]
    origin = anatomy.geometry.affine[:3, 3]
    world = grid_points(anatomy.geometry.shape, origin, spacing)
    white = anatomy.fractions[Tissue.WHITE_MATTER]
    places = np.argwhere((white > 0.8 * white.max()) & (world[2] > 0.0) & domain.inside)
    centre = world[(slice(None), *places[generator.integers(len(places))])]
    distance = ((world - centre[:, None, None, None]) ** 2).sum(axis=0)
    ball: np.ndarray = np.exp(-0.5 * distance / max(_SEED_MM, 0.5 * spacing) ** 2)
    return np.where(domain.inside, ball * (ball > 0.01), 0.0)


def infiltrate(anatomy: Anatomy, density: np.ndarray) -> Anatomy:
    """The anatomy with tumour in place of tissue; half of it where the tumour becomes visible."""
    width = _CLEAR_DENSITY - VISIBLE_DENSITY
    cover = np.clip((density - VISIBLE_DENSITY) / (2.0 * width) + 0.5, 0.0, 1.0)
    fractions = anatomy.fractions.copy()
    for tissue in (Tissue.GREY_MATTER, Tissue.WHITE_MATTER):
        fractions[Tissue.LESION] += cover * fractions[tissue]
        fractions[tissue] *= 1.0 - cover
    return replace(anatomy, fractions=fractions)


def measure_tissues(anatomy: Anatomy) -> dict[str, float]:
    """Volumes of the brain and its tissues, millilitres."""
    voxel_ml = float(np.prod(anatomy.geometry.spacing)) / 1000.0
    return {"brain": anatomy.brain_volume_ml} | {
        name: float(anatomy.fractions[tissue].sum()) * voxel_ml
        for name, tissue in (("grey", Tissue.GREY_MATTER), ("white", Tissue.WHITE_MATTER))
    }
