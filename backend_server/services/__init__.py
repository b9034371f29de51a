"""What the server does: one use case a file, load → decide → store.

A service authorises its caller inside the transaction that it permits, loads set-wise, lets
`domain` decide, stores set-wise, and publishes hints only after the transaction is durable. It
raises `domain.refusals.Refusal` when the call as a whole is refused.
"""
