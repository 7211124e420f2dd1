from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.core.validators import validate_slug
from django.utils import timezone

from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.clusters.models import Cluster
from apps.core.web.forms import Choices, in_this_century
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Organization
from apps.status_pages.posting.services import ReportData, stages_after
from apps.status_pages.reports.models import FINAL, Impact, Report, Stage
from apps.status_pages.setup.models import Component, StatusPage
from apps.status_pages.setup.services import ComponentData, PageData
from apps.status_pages.setup.states import DISTURBED

WIDE = {"data-width": "l"}
AT = "%Y-%m-%dT%H:%M"


class SettingsForm(forms.Form):
    """The settings of a page; a new one is named after its organization."""

    name = forms.CharField(
        max_length=80,
        widget=forms.TextInput(attrs=WIDE),
        help_text="What readers see at the top, such as “Nordhavn data status”.",
    )
    about = forms.CharField(
        label="About",
        max_length=300,
        required=False,
        widget=forms.TextInput(attrs=WIDE),
        help_text="One sentence for readers, for example what to do while something is down.",
    )
    address = forms.CharField(
        max_length=60,
        validators=[validate_slug],
        widget=forms.TextInput(attrs={"data-width": "m"}),
    )
    host = forms.ChoiceField(label="Own host name", required=False)
    audience = forms.ChoiceField(
        label="Readers",
        choices=StatusPage.Audience.choices,
        initial=StatusPage.Audience.PUBLIC,
        widget=Choices(
            hints={
                StatusPage.Audience.PUBLIC: "Anyone with the address, and subscribers by e-mail.",
                StatusPage.Audience.MEMBERS: "After signing in. No subscriptions, no file copy.",
            }
        ),
    )
    drafting = forms.ChoiceField(
        label="When a component has a problem",
        choices=StatusPage.Drafting.choices,
        initial=StatusPage.Drafting.DRAFT,
        widget=Choices(
            hints={
                StatusPage.Drafting.NEVER: "The component still changes its color.",
                StatusPage.Drafting.DRAFT: "It waits under Status page until someone does.",
                StatusPage.Drafting.POST: "Subscribers are told at once. A person can take over.",
            }
        ),
    )
    channels = forms.ModelMultipleChoiceField(
        label="Also send updates to",
        queryset=Channel.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Channels of the organization’s alerts: Slack, a webhook and others.",
    )

    def __init__(
        self, *args: Any, organization: Organization, page: StatusPage | None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs | {"initial": _settings(organization, page)})
        fields: dict[str, Any] = self.fields
        fields["address"].help_text = f"The page is {settings.PORTAL_URL}/status/address/."
        if settings.STATUS_HOSTS:
            fields["host"].choices = [("", "None"), *((one, one) for one in settings.STATUS_HOSTS)]
        else:
            del fields["host"]
        channels = Channel.objects.filter(organization=organization, workspace=None)
        fields["channels"].queryset = channels.order_by("name")
        if not channels.exists():
            del fields["channels"]

    def page_data(self) -> PageData:
        data = self.cleaned_data
        return PageData(
            name=data["name"],
            about=data["about"],
            address=data["address"].lower(),
            host=data.get("host", ""),
            audience=data["audience"],
            drafting=data["drafting"],
        )


def _settings(organization: Organization, page: StatusPage | None) -> dict[str, Any]:
    if page is None:
        return {"name": f"{organization.name} status"[:80], "address": organization.slug}
    names = ("name", "about", "address", "host", "audience", "drafting")
    found = {name: getattr(page, name) for name in names}
    return found | {"channels": list(page.channels.all())}


class ComponentForm(forms.Form):
    """A component: its public name, and where its state is read."""

    name = forms.CharField(
        label="Public name",
        max_length=80,
        widget=forms.TextInput(attrs=WIDE),
        help_text="What it is to readers, such as “Morning reports”. Names of Deployments are not "
        "shown.",
    )
    about = forms.CharField(
        label="About", max_length=200, required=False, widget=forms.TextInput(attrs=WIDE)
    )
    group = forms.CharField(
        max_length=60,
        required=False,
        widget=forms.TextInput(attrs={"data-width": "m"}),
        help_text="Components of the same group stand together.",
    )
    source = forms.ChoiceField(
        label="State from",
        choices=Component.Source.choices,
        initial=Component.Source.DEPLOYMENTS,
        widget=Choices(
            hints={
                Component.Source.DEPLOYMENTS: "Their health and incidents. Down when all are down.",
                Component.Source.CLUSTER: "Whether the portal reaches it.",
                Component.Source.PORTAL: "Operational while it reports. A pause is no data.",
            }
        ),
    )
    deployments = forms.ModelMultipleChoiceField(
        queryset=Deployment.objects.none(),
        required=False,
        widget=forms.SelectMultiple(attrs={"size": 6, "data-width": "l"}),
        help_text="Hold Ctrl or Cmd to choose several.",
    )
    cluster = forms.ModelChoiceField(queryset=Cluster.objects.none(), required=False)

    def __init__(
        self,
        *args: Any,
        page: StatusPage,
        component: Component | None,
        user: User,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs | {"initial": _component(component)})
        organization = page.organization
        fields: dict[str, Any] = self.fields
        seen = Deployment.objects.visible_to(user).filter(
            workspace__organization=organization, phase=Phase.ACTIVE
        )
        if component is not None:
            # Those that stand there stay, also where the person may not see them.
            seen = seen | Deployment.objects.filter(
                pk__in=component.deployments.values("pk"), workspace__organization=organization
            )
        fields["deployments"].queryset = (
            seen.distinct().select_related("workspace").order_by("workspace__name", "name")
        )
        fields["deployments"].label_from_instance = _with_workspace
        clusters = Cluster.objects.there().filter(organization=organization)
        fields["cluster"].queryset = clusters.order_by("name")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        source = data.get("source")
        if source == Component.Source.DEPLOYMENTS and not data.get("deployments"):
            self.add_error("deployments", "Choose at least one Deployment.")
        if source == Component.Source.CLUSTER and not data.get("cluster"):
            self.add_error("cluster", "Choose a cluster.")
        return data

    def component_data(self) -> ComponentData:
        data = self.cleaned_data
        of_deployments = data["source"] == Component.Source.DEPLOYMENTS
        of_cluster = data["source"] == Component.Source.CLUSTER
        return ComponentData(
            name=data["name"],
            about=data["about"],
            group=data["group"],
            source=data["source"],
            cluster=data["cluster"] if of_cluster else None,
            deployments=list(data["deployments"]) if of_deployments else [],
        )


def _with_workspace(deployment: Deployment) -> str:
    return f"{deployment} in {deployment.workspace}"


def _component(component: Component | None) -> dict[str, Any]:
    if component is None:
        return {}
    names = ("name", "about", "group", "source", "cluster")
    found = {name: getattr(component, name) for name in names}
    return found | {"deployments": list(component.deployments.all())}


class ReportForm(forms.Form):
    """A new incident or maintenance, or a draft of one."""

    title = forms.CharField(max_length=160, widget=forms.TextInput(attrs=WIDE))
    components = forms.ModelMultipleChoiceField(
        queryset=Component.objects.none(), required=False, widget=forms.CheckboxSelectMultiple
    )
    impact = forms.ChoiceField(
        label="How these components are meanwhile", choices=Impact.choices, initial=Impact.MINOR
    )
    begins_at = forms.DateTimeField(
        label="From", required=False, input_formats=[AT], validators=[in_this_century]
    )
    ends_at = forms.DateTimeField(
        label="Until", required=False, input_formats=[AT], validators=[in_this_century]
    )
    holds_alerts = forms.BooleanField(
        label="Silence alerts about its Deployments meanwhile",
        required=False,
        initial=True,
        help_text="Where you manage alerts of their workspace.",
    )
    stage = forms.ChoiceField(label="Stage")
    text = forms.CharField(
        label="Update", max_length=2_000, widget=forms.Textarea(attrs={"rows": 5})
    )

    def __init__(
        self,
        *args: Any,
        page: StatusPage,
        kind: str,
        draft: Report | None = None,
        text: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs | {"initial": _draft(page, draft, text)})
        self.is_maintenance = kind == Report.Kind.MAINTENANCE
        fields: dict[str, Any] = self.fields
        fields["components"].queryset = page.components.order_by("position", "pk")
        for name in ("begins_at", "ends_at"):
            fields[name].widget = forms.DateTimeInput(
                format=AT, attrs={"type": "datetime-local", "data-width": "m"}
            )
        if self.is_maintenance:
            del fields["impact"], fields["stage"]
            fields["begins_at"].required = fields["ends_at"].required = True
            fields["begins_at"].help_text = "In your time zone."
        else:
            del fields["ends_at"], fields["holds_alerts"]
            fields["begins_at"].help_text = "Empty means now. In your time zone."
            fields["stage"].choices = [
                (one, one.label) for one in stages_after(Report(kind=kind)) if one not in FINAL
            ]

    def clean_begins_at(self) -> datetime | None:
        begins: datetime | None = self.cleaned_data["begins_at"]
        if begins and not self.is_maintenance and begins > timezone.now():
            raise forms.ValidationError("An incident does not begin in the future.")
        return begins

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.is_maintenance:
            data["stage"], data["impact"] = Stage.SCHEDULED, Impact.NONE
        return data

    def report_data(self, now: datetime) -> ReportData:
        data = self.cleaned_data
        return ReportData(
            title=data["title"],
            components=list(data["components"]),
            impact=data["impact"],
            begins_at=data["begins_at"] or now,
            ends_at=data.get("ends_at"),
        )


def _draft(page: StatusPage, draft: Report | None, text: str) -> dict[str, Any]:
    if draft is None:
        disturbed = [one for one in page.components.all() if one.state in DISTURBED]
        return {"components": disturbed}
    return {
        "title": draft.title,
        "components": list(draft.components.all()),
        "impact": draft.impact,
        "begins_at": timezone.localtime(draft.begins_at),
        "stage": draft.stage if draft.stage not in FINAL else Stage.INVESTIGATING,
        "text": text,
    }


class UpdateForm(forms.Form):
    """The next update of a report."""

    stage = forms.ChoiceField(label="Stage")
    text = forms.CharField(
        label="Update", max_length=2_000, widget=forms.Textarea(attrs={"rows": 4})
    )

    def __init__(self, *args: Any, report: Report, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"initial": {"stage": report.stage}})
        fields: dict[str, Any] = self.fields
        fields["stage"].choices = [(one, one.label) for one in stages_after(report)]


class PostmortemForm(forms.Form):
    postmortem = forms.CharField(
        label="Postmortem",
        max_length=10_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="What happened, why, and what changes. It stands on the page below the updates.",
    )
