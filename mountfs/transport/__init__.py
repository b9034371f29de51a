"""The door to the network: httpx is imported here and nowhere else in the client.

`api.py` states what the server can be asked and what is promised; `client.py` asks over HTTP.
Whatever goes wrong leaves this package as one of `mountfs.errors`.
"""
