"""The client's decisions, pure: no trio, no I/O, no clock, no randomness."""
