"""What is looked at beside the scores of the protocol, one file an analysis."""
