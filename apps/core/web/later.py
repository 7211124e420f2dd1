"""Addresses whose views are imported when the first of them is asked for."""

from django.urls import URLResolver
from django.urls.resolvers import RoutePattern


class Later(URLResolver):
    """An included URLconf, given by its name. Django imports it to find an address below its own or
    a name in its namespace, and would do so for any other name, too.
    """

    def _populate(self) -> None:
        """Stay empty when the names of the whole site are gathered: those of a namespace are looked
        up in its patterns.
        """


def later(route: str, module: str, *, name: str) -> Later:
    """Include the URLconf `module` under the namespace `name`, and leave it unread for now."""
    return Later(RoutePattern(route, is_endpoint=False), module, app_name=name, namespace=name)
