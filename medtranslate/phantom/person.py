"""One simulated person: drawn once from a seed, then seen by scanners at any number of visits."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy import ndimage, optimize

from medtranslate.geometry import Geometry
from medtranslate.phantom.anatomy import Template
from medtranslate.phantom.contrast import Tissue
from medtranslate.phantom.deformation import (
    Displacement,
    integrate_velocity,
    random_velocity,
    rotation,
)
from medtranslate.phantom.fields import Texture, grid_points, random_texture
from medtranslate.phantom.head import HeadShape, surround_brain
from medtranslate.phantom.pathology import Lesion, draw_lesions, lesion_cover, scale_lesions

_DEFORMATION_SCALE_MM = 22.0
_DEFORMATION_MM = 2.6
_FOLDING_SCALES_MM = (3.0, 5.0)
_FOLDING_STRENGTH = 1.1
_SHARPNESS = 2.2
_TEXTURE_SCALES_MM = (4.0, 9.0, 25.0)
_THICKNESS_SCALES_MM = (7.0, 20.0)
_PARTIAL_VOLUME_VOXELS = 0.4
_LESION_BORDER_MM = 1.5
_LARGEST_AGEING = 2.5
_VENTRICLE_REACH_MM = 1.0
_FIRST_STAGE, _LAST_STAGE = 0.05, 3.0
_SOLVER_STEP = 1e-3


@dataclass(frozen=True, eq=False)
class Person:
    """Everything about a simulated person that no scanner changes.

    Attributes:
        age: Years at the first visit.
        sex: ``F`` or ``M``.
        pose: Shape ``(3, 4)``; from scanner to upright template position, millimetres.
        deformation: From the average head to this one, smooth and one-to-one.
        ageing: Multiple of the template's atrophy velocity at the first visit.
        shape: Layers around the brain.
        folding: Two textures that shift the borders grey-fluid and grey-white.
        thickness: Texture that varies the layers around the brain.
        relaxation: Textures of T1, T2, proton density and CT number.
        lesions: At the first visit.
        new_lesions: That appear before the second visit.
        atrophy: Part of brain tissue lost between the visits, 0 to 1.
        growth: Relative growth of the lesion volume between the visits, more than 0.
        days: Between the visits.
    """

    age: int
    sex: str
    pose: np.ndarray
    deformation: Displacement
    ageing: float
    shape: HeadShape
    folding: tuple[Texture, Texture]
    thickness: Texture
    relaxation: tuple[Texture, Texture, Texture, Texture]
    lesions: tuple[Lesion, ...]
    new_lesions: tuple[Lesion, ...]
    atrophy: float
    growth: float
    days: int


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What lies in each voxel at one visit.

    Attributes:
        geometry: The scanner's grid.
        fractions: Shape ``(len(Tissue), i, j, k)``; volume fractions, they sum to 1.
        brain: Boolean brain mask with fluid, shape ``(i, j, k)``; the same at all visits.
        relaxation: Shape ``(4, i, j, k)``; deviation of T1, T2, proton density and CT number.
    """

    geometry: Geometry
    fractions: np.ndarray
    brain: np.ndarray
    relaxation: np.ndarray

    @property
    def lesion(self) -> np.ndarray:
        """Fraction of damaged white matter, shape ``(i, j, k)``."""
        fraction: np.ndarray = self.fractions[Tissue.LESION]
        return fraction

    @property
    def brain_volume_ml(self) -> float:
        """Volume of grey matter, white matter and lesions, millilitres."""
        tissues = [Tissue.GREY_MATTER, Tissue.WHITE_MATTER, Tissue.LESION]
        return float(self.fractions[tissues].sum()) * self._voxel_ml

    @property
    def lesion_volume_ml(self) -> float:
        """Volume of damaged white matter, millilitres."""
        return float(self.lesion.sum()) * self._voxel_ml

    @property
    def _voxel_ml(self) -> float:
        return float(np.prod(self.geometry.spacing)) / 1000.0


def draw_person(generator: np.random.Generator, template: Template) -> Person:
    """A person whose every trait is drawn from a bounded range, so that nobody is an outlier."""
    age = int(generator.integers(20, 66))
    sex = str(generator.choice(["F", "M"]))
    size = 0.93 + 0.02 * (sex == "M") + generator.uniform(-0.03, 0.03, size=3)
    turn = rotation(generator.uniform(-5.0, 5.0, size=3))
    shift = generator.uniform(-3.0, 3.0, size=3)
    velocity = random_velocity(
        generator, scale_mm=_DEFORMATION_SCALE_MM, amplitude_mm=_DEFORMATION_MM
    )
    folding = [random_texture(generator, scales_mm=_FOLDING_SCALES_MM) for _ in range(2)]
    relaxation = [random_texture(generator, scales_mm=_TEXTURE_SCALES_MM) for _ in range(4)]
    return Person(
        age=age,
        sex=sex,
        pose=np.column_stack([turn / size[:, None], shift]),
        deformation=integrate_velocity(velocity),
        ageing=0.02 * (age - 20) + generator.uniform(0.0, 0.6),
        shape=_draw_shape(generator),
        folding=(folding[0], folding[1]),
        thickness=random_texture(generator, scales_mm=_THICKNESS_SCALES_MM),
        relaxation=(relaxation[0], relaxation[1], relaxation[2], relaxation[3]),
        lesions=draw_lesions(generator, template, number=int(generator.integers(8, 25))),
        new_lesions=draw_lesions(generator, template, number=int(generator.integers(1, 5))),
        atrophy=generator.uniform(0.006, 0.025),
        growth=generator.uniform(0.25, 0.8),
        days=int(generator.integers(600, 861)),
    )


def _draw_shape(generator: np.random.Generator) -> HeadShape:
    return HeadShape(
        **{
            name: value * float(generator.uniform(0.85, 1.2))
            for name, value in asdict(HeadShape()).items()
        }
    )


def scan_grid(spacing_mm: float) -> Geometry:
    """Grid of cubic voxels, RAS, that holds a head in the scanner.

    Args:
        spacing_mm: Voxel size, millimetres.
    """
    low, high = np.array([-88.0, -120.0, -72.0]), np.array([88.0, 92.0, 94.0])
    i, j, k = np.floor((high - low) / spacing_mm + 1e-6).astype(int) + 1
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = low
    return Geometry((int(i), int(j), int(k)), affine)


def first_visit(person: Person, template: Template, geometry: Geometry) -> Anatomy:
    """Anatomy of ``person`` on the scanner's grid (orthogonal, cubic voxels) at the first visit."""
    return Body(person, template, geometry).anatomy(person.ageing, person.lesions)


def second_visit(person: Person, template: Template, geometry: Geometry, first: Anatomy) -> Anatomy:
    """Anatomy after ``person.atrophy`` of the brain is lost and lesions grew by ``person.growth``.

    Brain tissue is moved along the template's atrophy velocity, so that it thins at its surface and
    the ventricles widen; new lesions appear and known ones swell. Both amounts are solved for on
    this grid. The head lies in the scanner as it did at the first visit.

    Args:
        person: Whom to look at.
        template: Anatomy that the person was drawn from.
        geometry: Grid of the first visit.
        first: What :func:`first_visit` gave on that grid.
    """
    body = Body(person, template, geometry)
    brain_goal = first.brain_volume_ml * (1.0 - person.atrophy)
    lesion_goal = first.lesion_volume_ml * (1.0 + person.growth)

    def missing_brain(ageing: float) -> float:
        tissue = body.tissue(body.brain_points(ageing))
        return brain_goal - float(tissue.sum()) * body.voxel_ml

    oldest = person.ageing + _LARGEST_AGEING
    ageing = optimize.brentq(missing_brain, person.ageing, oldest, xtol=_SOLVER_STEP)
    points = body.brain_points(ageing)
    tissue = body.tissue(points)

    def excess_lesion(stage: float) -> float:
        damaged = body.damage(_grown_lesions(person, stage), points, tissue)
        return float(damaged.sum()) * body.voxel_ml - lesion_goal

    stage = optimize.brentq(excess_lesion, _FIRST_STAGE, _LAST_STAGE, xtol=_SOLVER_STEP)
    return body.anatomy(ageing, _grown_lesions(person, stage))


def _grown_lesions(person: Person, stage: float) -> tuple[Lesion, ...]:
    """Lesions in the course of time: up to stage 1 new ones grow, from then on known ones."""
    known = scale_lesions(person.lesions, max(1.0, stage))
    return known + scale_lesions(person.new_lesions, min(1.0, stage))


class Body:
    """Evaluates a person's anatomy on one grid, sharing what all visits have in common."""

    def __init__(
        self,
        person: Person,
        template: Template,
        geometry: Geometry,
        *,
        pulled: np.ndarray | None = None,
    ) -> None:
        """See ``person`` on the scanner's grid.

        Args:
            person: Whom.
            template: Anatomy that the person was drawn from.
            geometry: Orthogonal grid of cubic voxels.
            pulled: Shape ``(3, i, j, k)``, millimetres; where the tissue in each voxel comes
                from, relative to the voxel; nothing has moved if None.
        """
        self._person = person
        self._template = template
        self._geometry = geometry
        self._spacing = geometry.spacing[0]
        self.voxel_ml = self._spacing**3 / 1000.0
        world = grid_points(geometry.shape, geometry.affine[:3, 3], self._spacing)
        if pulled is not None:
            world = world + pulled
        upright = np.tensordot(person.pose[:, :3], world, axes=1)
        upright += person.pose[:, 3].reshape(3, 1, 1, 1)
        self._points = person.deformation.move(upright)

    def brain_points(self, ageing: float) -> np.ndarray:
        """Position in the template of the brain tissue in each voxel, shape ``(3, i, j, k)``."""
        velocity = self._template.atrophy
        flow = replace(velocity, vectors=ageing * velocity.vectors)
        return integrate_velocity(flow).move(self._points)

    def shrinking(self) -> Displacement:
        """Velocity on the scanner's grid that one unit of ageing follows for unit time.

        The template's velocity ``v``, seen through this person's map ``p``: ``(dp/dx)^-1 v(p)``.
        Anatomy after ``a`` more units is today's, sampled where its flow for ``a`` leads.
        """
        vectors = self._template.atrophy.at(self._points)
        slopes = [np.stack(np.gradient(part, self._spacing)) for part in self._points]
        matrices = np.moveaxis(np.stack(slopes), (0, 1), (-2, -1))
        solved = np.linalg.solve(matrices, np.moveaxis(vectors, 0, -1)[..., None])[..., 0]
        return Displacement(np.moveaxis(solved, -1, 0), self._geometry.affine[:3, 3], self._spacing)

    def ventricles(self, ageing: float, tissue: np.ndarray) -> np.ndarray:
        """Fraction of each voxel that is fluid of the ventricles; they widen as tissue shrinks.

        Args:
            ageing: Multiple of the template's atrophy velocity.
            tissue: Fraction of brain tissue at that age, shape ``(i, j, k)``.
        """
        near = self._template.ventricles.at(self.brain_points(ageing)) <= _VENTRICLE_REACH_MM
        fluid: np.ndarray = near * np.clip(1.0 - tissue, 0.0, 1.0)
        return fluid

    def tissue(self, points: np.ndarray) -> np.ndarray:
        """Fractions of grey and white matter, shape ``(2, i, j, k)``.

        The template's average maps are sharpened, and their borders shifted by this person's
        folding, so that each brain has sulci of its own.
        """
        grey, white = self._template.grey.at(points), self._template.white.at(points)
        fluid = np.clip(1.0 - grey - white, 0.0, 1.0)
        outer, inner = (_FOLDING_STRENGTH * texture.at(points) for texture in self._person.folding)
        grey, white, fluid = (part**_SHARPNESS for part in (grey, white, fluid))
        white, fluid = white * np.exp(inner), fluid * np.exp(outer)
        total = grey + white + fluid
        return np.stack(
            [
                ndimage.gaussian_filter(part / total, _PARTIAL_VOLUME_VOXELS, mode="nearest")
                for part in (grey, white)
            ]
        )

    def cover(self, lesions: tuple[Lesion, ...], points: np.ndarray) -> np.ndarray:
        """How far each voxel lies in a lesion, shape ``(i, j, k)``."""
        border_mm = max(_LESION_BORDER_MM, self._spacing)
        return lesion_cover(lesions, points, self._person.folding[1], border_mm=border_mm)

    def damage(
        self, lesions: tuple[Lesion, ...], points: np.ndarray, tissue: np.ndarray
    ) -> np.ndarray:
        """Fraction of damaged tissue: white matter, and half of the grey, within a lesion."""
        damaged: np.ndarray = self.cover(lesions, points) * (tissue[1] + 0.5 * tissue[0])
        return damaged

    def anatomy(self, ageing: float, lesions: tuple[Lesion, ...]) -> Anatomy:
        """Everything in each voxel, at an age and with lesions."""
        person, template = self._person, self._template
        points = self.brain_points(ageing)
        grey, white = self.tissue(points)
        cover = self.cover(lesions, points)
        fractions = surround_brain(
            template.skull.at(self._points),
            self._points,
            person.shape,
            person.thickness,
            spacing_mm=self._spacing,
        )
        fractions *= 1.0 - grey - white
        fractions[Tissue.GREY_MATTER] = grey * (1.0 - 0.5 * cover)
        fractions[Tissue.WHITE_MATTER] = white * (1.0 - cover)
        fractions[Tissue.LESION] = cover * (white + 0.5 * grey)
        return Anatomy(
            geometry=self._geometry,
            fractions=fractions,
            brain=template.brain.at(self._points) > 0.5,
            relaxation=np.stack([texture.at(points) for texture in person.relaxation]),
        )
