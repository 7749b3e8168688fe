"""From scans on disk to normalised voxels on one grid, and back to the scanner's grid.

Import the modules themselves: ``settings`` is light, ``preparation`` and ``cache`` load MONAI.
"""
