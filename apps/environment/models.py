"""Django looks for models here."""

from apps.environment.objects.models import EnvironmentLink, EnvironmentObject

__all__ = ["EnvironmentLink", "EnvironmentObject"]
