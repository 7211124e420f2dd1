from django.db import models

from apps.status_pages.setup.models import Component


class ComponentDay(models.Model):
    """For how many seconds of a day, in UTC, a component was in each state. Seconds in which
    nothing was known are in no column.
    """

    component = models.ForeignKey(Component, on_delete=models.CASCADE, related_name="days")
    day = models.DateField()
    operational = models.FloatField(default=0)
    degraded_performance = models.FloatField(default=0)
    partial_outage = models.FloatField(default=0)
    major_outage = models.FloatField(default=0)
    under_maintenance = models.FloatField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["component", "day"], name="one_row_per_component_day")
        ]
