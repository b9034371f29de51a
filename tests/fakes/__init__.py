"""Stand-ins that keep the promises of what they stand for, checked by the contract suites."""
