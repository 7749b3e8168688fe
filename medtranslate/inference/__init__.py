"""From a trained translator to a whole predicted volume."""
