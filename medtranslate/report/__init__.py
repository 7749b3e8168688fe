"""Scores as files a person can keep: one HTML page, CSV tables, JSON."""
