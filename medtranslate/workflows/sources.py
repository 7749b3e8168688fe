"""Which scans are to be translated: files, folders, datasets and tables, with their masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medtranslate.data.cases import Case, find_cases
from medtranslate.data.index import index_datasets
from medtranslate.data.pseudonyms import name_scan
from medtranslate.errors import DatasetError
from medtranslate.io import (
    is_scan,
    parse_bids_name,
)
from medtranslate.workflows.prediction import Translator


def collect_cases(
    translator: Translator, sources: Sequence[Path], *, mask: Path | None = None
) -> list[Case]:
    """What to translate: scans as they are, datasets by the model's source contrast.

    Raises:
        DatasetError: If a source is not there or given twice, or a mask is missing or too much.
    """
    pipeline = translator.pipeline
    cases: list[Case] = []
    datasets = [path for path in sources if not is_scan(path)]
    if datasets:
        cases += find_cases(
            index_datasets(datasets),
            source=pipeline.source,
            target=pipeline.target,
            mask=pipeline.mask,
            need_target=False,
        )
    files = [path for path in sources if path not in datasets]
    cases += [_case_of_file(path, mask) for path in files]
    _check_masks(translator, files, datasets, mask)
    resolved = [case.source.resolve() for case in cases]
    for case in cases:
        if resolved.count(case.source.resolve()) > 1:
            raise DatasetError(f"{case.source}: is given twice; give each source once")
    return cases


def _case_of_file(path: Path, mask: Path | None) -> Case:
    name = name_scan(path)
    parsed = parse_bids_name(path)
    return Case(
        name=name,
        dataset="",
        subject=(parsed.get("sub") if parsed else None) or name,
        session=parsed.get("ses") if parsed else None,
        source=path,
        mask=mask,
    )


def _check_masks(
    translator: Translator, files: Sequence[Path], datasets: Sequence[Path], mask: Path | None
) -> None:
    needs_mask = translator.pipeline.preprocess.mask == "given"
    if mask is not None and not needs_mask:
        raise DatasetError(
            f"--mask {mask.name}: this model computes its mask"
            f" (preprocess.mask: {translator.pipeline.preprocess.mask}); leave --mask out"
        )
    if mask is not None and (len(files) != 1 or datasets):
        raise DatasetError(
            "--mask fits one source file; translate the others in calls of their own"
        )
    if needs_mask and files and mask is None:
        raise DatasetError(
            f"{files[0].name}: this model needs a mask (preprocess.mask: given); give it with"
            f" --mask, or give a dataset that holds '{translator.pipeline.mask}'"
        )
