"""Other people's test suites, run on a plain folder and on a mount, case by case.

    python tests/strangers [--only PATTERN] [--list] [--quick] [--dir DIR] [--sources DIR]

A case that passes on the plain folder has to pass on the mount. What cannot be had there is in one
table with its reason (`cannot_be_had`); what fails on the plain folder too says nothing about us. A
suite whose programs are not here is skipped and says how to get them. Nothing of these suites is
part of this project: they are run as their packages bring them.

    command        options, the drive, the verdict         cannot_be_had  what may fail, and why
    suites         what a suite is                         verdict        pure: what outcomes say
    program        a stranger's program, ended in time
    cpython, syscalls, stress, loads, databases    one family of suites a file
"""
