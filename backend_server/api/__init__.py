"""The door of the wire: HTTP in, services called, HTTP out. Decides nothing.

application.py     all routes in one ASGI application
use_cases.py       what the routes call
authentication.py  bearer token → caller
bodies.py          bounded request bodies, zstd, msgpack and JSON
refusals.py        every error as `ErrorBody`
observation.py     one log line and one measurement a request, response headers
metrics.py         Prometheus
openapi.py         what a call takes and answers, described
sessions.py, account.py, devices.py, feed.py, uploads.py, blocks.py, manifests.py, commits.py,
operations.py      one resource each
"""
