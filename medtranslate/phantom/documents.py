"""The texts that a simulated dataset carries: its README, licence and column descriptions."""

from __future__ import annotations

from typing import Any

TEMPLATE_ADDRESS = "https://nist.mni.mcgill.ca/icbm-152-nonlinear-atlases-2009/"

TEMPLATE_LICENCE = """\
Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological
Institute, McGill University. Permission to use, copy, modify, and distribute this software and its
documentation for any purpose and without fee is hereby granted, provided that the above copyright
notice appear in all copies. The authors and McGill University make no representations about the
suitability of this software for any purpose. It is provided "as is" without express or implied
warranty. The authors are not responsible for any data loss, equipment damage, property loss, or
injury to subjects or patients resulting from the use or misuse of this software package."""

DATASET_README = """\
# Simulated people

No scan here is of a real person. Each head is the MNI152 average brain, deformed at random and
surrounded by a simple skull and scalp, with tissue properties that vary in space, scanned by
equations: spin echo (T1w, T2w), inversion recovery (FLAIR), attenuation in Hounsfield units (CT).
Lesions, ageing, receive bias and noise are simulated too. Use it to try software and to test it;
it says nothing about how well a method does on patients.

All contrasts of a person share one grid. `derivatives/truth` holds the brain mask
(`desc-brain_mask`), the lesion mask (`label-lesion_mask`) and the tissue that fills most of each
voxel (`dseg`, names in `dseg.tsv`). Where there are two visits, `*_sessions.tsv` gives the days
between them and the true volumes of brain tissue and lesions.

CT is no part of BIDS yet: `.bidsignore` hides it from validators.

## Made by

```
{command}
```

The same command with the same versions of NumPy, SciPy and nilearn gives the same voxels.
`sha256sum -c SHA256SUMS` checks the files.

## Licence

The anatomy is derived from the ICBM 2009a nonlinear symmetric template (MNI152), as packaged with
nilearn:

{licence}

References: Fonov V, Evans AC, Botteron K, Almli CR, McKinstry RC, Collins DL. Unbiased average
age-appropriate atlases for pediatric studies. NeuroImage 2011;54:313-327,
doi:10.1016/j.neuroimage.2010.07.033. Fonov VS, Evans AC, McKinstry RC, Almli CR, Collins DL.
Unbiased nonlinear average age-appropriate brain templates from birth to adulthood. NeuroImage
2009;47:S102, doi:10.1016/S1053-8119(09)70884-5.
"""

TRUTH_README = """\
# Truth about the simulated people

What each head was made of, not what was measured: `desc-brain_mask` is the brain with the fluid in
and around it, `label-lesion_mask` the voxels of which at least half is lesion, `dseg` the tissue
that fills most of a voxel (names in `dseg.tsv`). Licence and origin: see the README.md above.
"""

DISEASE_README = """
`sub-*/volumes.csv` holds the true volume of each region at each visit. The disease is
`label-ventricles_mask` (atrophy; `dseg` tells these apart from other fluid, too),
`label-tumor_mask` (a density of 0.2 or more), or `label-newlesion_mask` and
`label-resolvedlesion_mask` (against the first visit).
`label-tumor_probseg` is the density of tumour cells, 0 to 1. `desc-xmm_displacement`,
`desc-ymm_displacement` and `desc-zmm_displacement` tell where the tissue in each voxel lay at the
first visit, relative to the voxel, along right, front and up, in millimetres; fluid and skull
around the brain do not follow it.
"""

_BRAIN_VOLUME: dict[str, Any] = {
    "Description": "True volume of grey matter, white matter and lesions",
    "Units": "mL",
}
_LESION_VOLUME: dict[str, Any] = {"Description": "True volume of the lesions", "Units": "mL"}

PARTICIPANT_COLUMNS: dict[str, dict[str, Any]] = {  # Any: whatever JSON can hold
    "participant_id": {},
    "age": {"Description": "Age at the first visit", "Units": "year"},
    "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
    "brain_volume_ml": _BRAIN_VOLUME,
    "lesion_volume_ml": _LESION_VOLUME,
}
SESSION_COLUMNS: dict[str, dict[str, Any]] = {
    "session_id": {},
    "days_since_baseline": {"Description": "Days since the first visit", "Units": "day"},
    "brain_volume_ml": _BRAIN_VOLUME,
    "lesion_volume_ml": _LESION_VOLUME,
}
