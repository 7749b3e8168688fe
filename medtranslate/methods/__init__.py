"""Ways of learning the mapping from source to target; one file a method."""
