"""Any Hermes over HTTP: the API of agents below /api, and of runs below /v1/runs."""
