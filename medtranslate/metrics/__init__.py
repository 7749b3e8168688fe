"""How well a prediction agrees with its reference, under a protocol that states every number."""
