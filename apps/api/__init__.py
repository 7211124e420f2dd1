"""The REST API. `gates` authenticates and authorizes every call by an API token."""
