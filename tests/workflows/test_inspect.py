"""What a person sees of an inspection in a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel
import numpy as np
import pytest
from rich.console import Console

from medtranslate.errors import DatasetError
from medtranslate.workflows.inspect import inspect_path, render_inspection


def write_scan(root: Path, subject: str, contrast: str, seed: int) -> Path:
    path = root / f"sub-{subject}" / "anat" / f"sub-{subject}_{contrast}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).integers(0, 900, (12, 13, 14)).astype(np.int16)
    image = nibabel.Nifti1Image(voxels, np.diag([2.0, 2.5, 3.0, 1.0]))
    image.set_qform(image.affine, 1)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def show(path: Path, *, width: int = 80) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(render_inspection(inspect_path(path)))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for number, subject in enumerate(["a", "b"]):
        write_scan(tmp_path, subject, "T1w", 2 * number)
        write_scan(tmp_path, subject, "T2w", 2 * number + 1)
    (tmp_path / "sub-b" / "anat" / "sub-b_T2w.nii.gz").unlink()
    return tmp_path


def test_the_table_shows_grids_missing_partners_and_the_verdict_last(dataset: Path) -> None:
    lines = show(dataset, width=100)

    [first] = [n for n, line in enumerate(lines) if line.startswith("a ")]
    assert lines[first].split() == ["a", "12×13×14", "RAS", "12×13×14", "RAS"]
    assert lines[first + 1].split() == ["2×2.5×3", "2×2.5×3"]
    assert next(line for line in lines if line.startswith("b ")).split()[-1] == "missing"
    assert next(line for line in lines if line.startswith("T1w ↔ T2w")).split()[3:] == [
        "1", "1", "1", "of", "1", "none",
    ]  # fmt: skip
    assert "! T2w is missing (1 of 2 visits have it)" in lines
    assert lines[-1].startswith("Usable with care: 2 people, 2 contrasts")


def test_names_with_brackets_are_shown_as_they_are(tmp_path: Path) -> None:
    write_scan(tmp_path, "a", "T1w", 1)
    (tmp_path / "dataset_description.json").write_text('{"Name": "[bold]raw[/bold] [red]"}')

    assert "[bold]raw[/bold] [red]" in "\n".join(show(tmp_path))


def test_many_people_who_look_alike_share_a_row(tmp_path: Path) -> None:
    for number in range(30):
        write_scan(tmp_path, f"{number:02d}", "T1w", number)

    text = "\n".join(show(tmp_path))

    assert "(30 alike)" in text
    assert "17" not in text


def test_a_narrow_terminal_loses_nothing(dataset: Path) -> None:
    assert "…" not in "".join(show(dataset, width=40))


def test_one_scan_is_inspected_by_itself(dataset: Path) -> None:
    lines = show(dataset / "sub-a" / "anat" / "sub-a_T1w.nii.gz")

    assert "  spacing           2×2.5×3 mm" in lines
    assert lines[-1] == "Ready: nothing is wrong with it."


def test_what_is_neither_scan_nor_dataset_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")

    with pytest.raises(DatasetError, match="is a file, not a dataset"):
        inspect_path(tmp_path / "notes.txt")
    with pytest.raises(DatasetError, match="no such folder or file"):
        inspect_path(tmp_path / "gone")
