"""The figures of mountfs: one command that prints a table and writes JSON.

    python tests/benchmarks [--only PATTERN] [--link loopback|wan|both] [--rounds 3]
                            [--quick] [--json FILE] [--dir DIR]

Each workload runs on a plain local folder, on a mount over loopback, and on a mount whose every
device has its own 50 ms / 100 Mbit/s link to the server, one after the other in each round; the
table shows medians. Real servers, devices and mounts (`harness`), started and stopped by the
command, also after Ctrl-C. Nothing here is asserted by the test suite.

    command    options, signals, clean-up, exit code
    figures    what is measured: keys, titles, units        marks      what to reach, from whom
    sites      a plain folder; a server with devices        workloads  one kind of work a file
    summaries, table, report   pure: from samples to what is printed

`cache_figures.py` is a program of its own, about the cache alone.
"""
