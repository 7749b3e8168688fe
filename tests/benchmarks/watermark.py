"""What a watermark costs, what it outlives, and how often another key seems to be there.

    python tests/benchmarks/watermark.py DATASET... [--contrast T2w] [--keys 20]

Real scans stand in for synthetic ones, which is the harder case: what a network predicts has less
noise for a mark to be lost in. Three tables are printed:

* cost: PSNR against the real T2w, with and without the mark, of the T1w put through the lookup map
  that fits this very person, and of that mixed with the truth up to 25 and 30 dB;
* what the mark outlives: scores of the right key after each change;
* wrong keys: scores of keys that marked nothing, at every shift, in marked and unmarked scans.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy.ndimage import affine_transform, gaussian_filter, shift, zoom
from scipy.stats import norm

from medtranslate.data.index import index_dataset
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoring import score_slices
from medtranslate.metrics.yardstick import Yardstick, make_yardstick
from medtranslate.networks.lookup import fit_lookup_map
from medtranslate.provenance import hash_bytes
from medtranslate.volume import Volume
from medtranslate.watermark import NEEDED_SCORE, WatermarkKey, add_watermark
from medtranslate.watermark.detection import correlate, extract_signal
from medtranslate.workflows.foreground import find_foreground

BACKGROUND = 0.0
MIXED_DB = (25.0, 30.0)
TAIL = (4.0, 5.0, 5.5, 6.0)

Change = Callable[[np.ndarray], np.ndarray]


def key_number(number: int) -> WatermarkKey:
    return WatermarkKey(bytes.fromhex(hash_bytes(f"key {number}".encode())))


OWN = key_number(0)


# --- what is done to a marked scan ------------------------------------------------------------


def move(*voxels: float) -> Change:
    return lambda image: shift(image, voxels, order=1)


def turn(degrees: float) -> Change:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])

    def apply(image: np.ndarray) -> np.ndarray:
        centre = (np.array(image.shape) - 1) / 2
        return affine_transform(image, matrix, offset=centre - matrix @ centre, order=1)

    return apply


def resample(factor: float) -> Change:
    return lambda image: zoom(image, factor, order=1)


def resample_and_back(factor: float) -> Change:
    def apply(image: np.ndarray) -> np.ndarray:
        small = zoom(image, factor, order=1)
        return zoom(small, np.array(image.shape) / np.array(small.shape), order=1)

    return apply


def crop(image: np.ndarray) -> np.ndarray:
    inner = tuple(slice(size // 10, size - size // 20) for size in image.shape)
    return image[inner]


def smooth(sigma: float) -> Change:
    return lambda image: gaussian_filter(image, sigma)


def eight_bits(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (0.1, 99.9))
    return np.rint(255 * np.clip((image - low) / (high - low), 0, 1))


CHANGES: dict[str, Change] = {
    "none": lambda image: image,
    "rounded to int16": np.rint,
    "rescaled to 0.37 v + 12": lambda image: 0.37 * image + 12,
    "windowed to 8 bits": eight_bits,
    "smoothed, σ 0.7 voxels": smooth(0.7),
    "smoothed, σ 1 voxel": smooth(1.0),
    "moved by one voxel along each axis": move(1, -1, 1),
    "moved by half a voxel along each axis": move(0.5, 0.5, 0.5),
    "cropped by 15 % along each axis": crop,
    "resampled to 0.8 and back": resample_and_back(0.8),
    "smoothed (σ 0.7), moved by one voxel, rounded": lambda image: np.rint(
        move(1, -1, 1)(smooth(0.7)(image))
    ),
    "smoothed, σ 2 voxels": smooth(2.0),
    "turned by 2°": turn(2.0),
    "resampled to another grid (0.8)": resample(0.8),
}


def save_again(volume: Volume) -> Volume:
    """Write int16 NIfTI, have SimpleITK write it again as another format, read that."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "a.nii.gz", Path(folder) / "b.nrrd"
        write_volume(first, volume, dtype=np.int16)
        sitk.WriteImage(sitk.ReadImage(str(first)), str(second))
        return read_volume(second)


def changed(volume: Volume) -> Iterator[tuple[str, Volume]]:
    for name, change in CHANGES.items():
        image = change(volume.voxels).astype(np.float32)
        yield name, Volume(image[None], Geometry(image.shape, volume.geometry.affine))
    yield "int16 NIfTI, saved again as NRRD by SimpleITK", save_again(volume)


# --- scans --------------------------------------------------------------------------------------


def find_scans(datasets: Sequence[Path], contrast: str) -> list[tuple[str, Path]]:
    found = []
    for dataset in datasets:
        for scan in index_dataset(dataset).scans:
            if scan.suffix == contrast and "_ce-" not in scan.path.name:
                person = f"{scan.subject} {scan.session or ''}".strip()
                found.append((person, scan.path))
    return found


def read_scan(path: Path) -> Volume:
    volume = read_volume(path)
    return replace(volume, array=volume.array.astype(np.float32))


# --- cost ---------------------------------------------------------------------------------------


def translate(source: Volume, target: Volume, inside: np.ndarray) -> np.ndarray:
    """The source through the lookup map that fits this pair, in the unit of the target."""
    one, other = (np.percentile(v.voxels[inside], 99.5) for v in (source, target))
    normalised = (
        (source.voxels / one).astype(np.float32),
        (target.voxels / other).astype(np.float32),
    )
    fitted = fit_lookup_map([(*normalised, inside)])
    with torch.no_grad():
        mapped = fitted(torch.from_numpy(normalised[0])).numpy()
    image: np.ndarray = np.where(inside, mapped * other, BACKGROUND).astype(np.float32)
    return image


def psnr(yardstick: Yardstick, image: np.ndarray) -> float:
    """Mean over the scored slices, as reports tell it."""
    brought = yardstick.bring(image, scale=None)
    rows = score_slices(yardstick, brought)
    return float(np.mean([row.values["psnr"] for row in rows if row.scored]))


def print_cost(pairs: Sequence[tuple[str, Path, Path]]) -> None:
    print("\n| scan | PSNR (dB) | with the mark | cost |\n| --- | --- | --- | --- |")
    for name, source_path, target_path in pairs:
        source, target = read_scan(source_path), read_scan(target_path)
        inside = find_foreground(target)
        yardstick = make_yardstick(target, inside, Protocol())

        mapped = translate(source, target, inside)
        truth = np.where(inside, target.voxels, np.float32(BACKGROUND))
        plain = psnr(yardstick, mapped)
        for wanted in (plain, *MIXED_DB):
            part = np.float32(10 ** ((plain - wanted) / 20))
            image = truth + part * (mapped - truth)
            marked = add_watermark(Volume(image[None], target.geometry), OWN, background=BACKGROUND)
            before, after = psnr(yardstick, image), psnr(yardstick, marked.voxels)
            print(f"| {name} | {before:.2f} | {after:.3f} | {before - after:.4f} |", flush=True)


# --- finding --------------------------------------------------------------------------------------


def print_findings(scans: Sequence[tuple[str, Path]], num_keys: int) -> None:
    scores: dict[str, list[float]] = {}
    tail = np.zeros(len(TAIL), int)
    highest, places, wrong = 0.0, 0, 0
    for number, (name, path) in enumerate(scans):
        scan = read_scan(path)
        marked = add_watermark(scan, OWN, background=BACKGROUND)
        own = {what: correlate(extract_signal(v), OWN).max() for what, v in changed(marked)}
        for what, score in own.items():
            scores.setdefault(what, []).append(float(score))
        print(f"{name}: {own['none']:.1f}, lowest {min(own.values()):.1f}", flush=True)
        for which, signal in enumerate(map(extract_signal, (scan, marked))):
            # The right key looks into the unmarked scan only.
            for key in range(which, num_keys):
                found = correlate(signal, key_number(key + 1000 * number * (key > 0)))
                tail += [int(np.count_nonzero(found > edge)) for edge in TAIL]
                highest = max(highest, float(found.max()))
                places, wrong = places + found.size, wrong + 1
    print("\n| change | median score | lowest | found |\n| --- | --- | --- | --- |")
    for what, values in scores.items():
        hits = sum(value >= NEEDED_SCORE for value in values)
        print(f"| {what} | {np.median(values):.1f} | {min(values):.1f} | {hits} of {len(values)} |")
    print(f"\n{wrong} searches with wrong keys, {places:.3g} places, {NEEDED_SCORE:.2f} needed")
    print(f"highest score {highest:.2f}")
    for edge, count in zip(TAIL, tail, strict=True):
        print(f"above {edge}: {count}, expected {places * norm.sf(edge):.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--contrast", action="append", default=None)
    parser.add_argument("--keys", type=int, default=20)
    arguments = parser.parse_args()
    sources = dict(find_scans(arguments.datasets, "T1w"))
    targets = find_scans(arguments.datasets, "T2w")
    pairs = [
        (name, sources[name], path)
        for name, path in targets
        if name in sources
        and read_volume(sources[name]).geometry.matches(read_volume(path).geometry)
    ]
    print_cost(pairs)
    contrasts = arguments.contrast or ["T2w", "FLAIR"]
    scans = [one for contrast in contrasts for one in find_scans(arguments.datasets, contrast)]
    print_findings(scans, arguments.keys)


if __name__ == "__main__":
    main()
