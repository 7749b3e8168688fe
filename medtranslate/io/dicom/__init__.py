"""DICOM: series found by content, assembled by position, refused or repaired by name.

Importing this package costs nothing; its modules below `reading` need the extra ``dicom``.
"""
