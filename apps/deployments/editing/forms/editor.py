"""The whole form of a configuration: made from `data`, parsed, and never saved."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from django import forms

from apps.clusters.models import Cluster
from apps.core.web.forms import Problem as FoundProblem
from apps.core.web.forms import target_of
from apps.deployments.configuration.options import DeploymentOptions
from apps.deployments.configuration.schema import Configuration
from apps.deployments.configuration.validation import Present, Problem, validate, validate_name
from apps.deployments.editing.forms.data import (
    CORRECT,
    MOST_ROWS,
    QUEUES,
    SETTINGS,
    VARIABLES,
    FormData,
)
from apps.deployments.editing.forms.layered import LayeredPart
from apps.deployments.editing.forms.parts import EditorPart
from apps.deployments.editing.forms.rows import QueueRow, Row, VariableRow
from apps.deployments.editing.forms.settings import SettingsForm
from apps.deployments.models import SecretValue

_QueueRows = forms.formset_factory(QueueRow, extra=0, max_num=MOST_ROWS, absolute_max=MOST_ROWS)
_VariableRows = forms.formset_factory(
    VariableRow, extra=0, max_num=MOST_ROWS, absolute_max=MOST_ROWS
)


VARIABLES_NOTE = (
    "Every component that runs your code receives them. A secret value can be replaced but never "
    "shown again. AIRFLOW__SECTION__OPTION sets an option of Airflow; the documentation lists them."
)


class Editor:
    """The whole form. `base` is the current configuration, and `present` what the Deployment has,
    None for a new one.

    `secrets` are the sealed values that this person may refer to, by id; any other id counts as
    none. `clusters` are those to choose from, none if that is fixed. `found` are problems that
    others have found. `refusals` say why this person may not choose another value, by field.
    """

    def __init__(
        self,
        data: FormData,
        *,
        options: DeploymentOptions,
        base: Configuration | None,
        secrets: Mapping[str, SecretValue],
        is_validated: bool,
        clusters: Iterable[Cluster] = (),
        present: Present | None = None,
        found: Iterable[Problem] = (),
        refusals: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.options, self.base, self.present = options, base, present
        self.found = found
        self.settings = SettingsForm(
            data, options=options, base=base, present=present, clusters=clusters
        )
        self.layered = LayeredPart(data, prefix=SETTINGS, options=options, base=base)
        self._refuse(refusals)
        common = {"base": base}
        self.queues = _QueueRows(data, prefix=QUEUES, form_kwargs={"options": options, **common})
        self.variables = _VariableRows(
            data, prefix=VARIABLES, form_kwargs={"secrets": secrets, **common}
        )
        for kind, rows in ((QUEUES, self.queues.forms), (VARIABLES, self.variables.forms)):
            _press(data.get("row", ""), kind, rows)
        self.has_queues = self.settings.typed("executor") not in ("local", "kubernetes")
        self.settings.is_validated = self.layered.is_validated = is_validated
        for queue in self.queues.forms:
            queue.is_validated = is_validated and self.has_queues and not queue.is_gone
        for variable in self.variables.forms:
            variable.is_validated = is_validated and not variable.is_gone and not variable.is_blank

    def _refuse(self, refusals: Mapping[str, str]) -> None:
        """Say at fields why another value is refused. What is there may be taken away."""
        has = {"image": bool(self.base and self.base.image)} | {
            name: bool(value) for name, value in self.layered.before.items()
        }
        for name, reason in refusals.items():
            for part in (self.settings, self.layered):
                if name in part.fields:
                    part.refuse(name, reason, is_closed=not has.get(name))

    @property
    def parts(self) -> list[EditorPart]:
        return [self.settings, *self.queues.forms, self.layered, *self.variables.forms]

    @property
    def error_count(self) -> int:
        return len(self.problems)

    @property
    def removed_queues(self) -> list[str]:
        """Name the queues that an executor without queues would remove."""
        return [queue.name for queue in self.base.queues] if self.base else []

    @property
    def problems(self) -> list[FoundProblem]:
        """List everything wrong in the order of the page: one sentence a field, and where it is."""
        return [problem for part in self.parts for problem in _problems_of(part)]

    @property
    def errors(self) -> list[FoundProblem]:
        return self.problems

    @property
    def variables_note(self) -> str:
        return VARIABLES_NOTE

    @property
    def most_concurrency(self) -> int:
        return max(size.concurrency.ceiling for size in self.options.sizes)

    def is_valid(self) -> bool:
        """Validate every part, then the whole by the rules of configurations."""
        for part in self.parts:
            part.full_clean()
        self.add_error(self.found)
        self.add_error(validate_name(self.settings.typed("name")) if self.base is None else [])
        self.add_error(
            validate(configuration=self.configuration(), options=self.options, present=self.present)
        )
        return not self.problems

    def configuration(self) -> Configuration:
        cleaned = self.settings.cleaned_data
        return Configuration(
            description=cleaned.get("description", ""),
            runtime=cleaned.get("runtime", self.settings.typed("runtime")),
            executor=cleaned.get("executor", "celery"),
            corrects_drift=cleaned.get("drift", CORRECT) == CORRECT,
            image=self.settings.own_image,
            queues=tuple(row.queue() for row in self.queues.forms if row.is_validated),
            settings=self.layered.own(),
            variables=tuple(row.variable() for row in self.variables.forms if row.is_validated),
        )

    def add_error(self, problems: Iterable[Problem]) -> None:
        rows: dict[str, list[EditorPart]] = {
            QUEUES: [row for row in self.queues.forms if row.is_validated],
            VARIABLES: [row for row in self.variables.forms if row.is_validated],
        }
        for problem in problems:
            kind, _, rest = problem.field.partition(".")
            if kind == SETTINGS:
                self.layered.show(rest, problem.message)
                continue
            index, _, field = rest.partition(".")
            part = rows[kind][int(index)] if index else self.settings
            name = field or (kind if kind in self.settings.fields else None)
            if name is None or name not in part.errors:
                part.add_error(name, problem.message)


def _problems_of(part: EditorPart) -> Iterator[FoundProblem]:
    """Yield the first problem of each field of a part, in words that stand for themselves."""
    start = f"{part.heading[:80]}: " if part.heading else ""
    for text in part.non_field_errors():
        yield FoundProblem(f"{start}{text}")
    for field in part:
        if field.errors:
            yield FoundProblem(f"{start}{field.errors[0]}", target_of(field))


def _press(button: str, kind: str, rows: Sequence[Row]) -> None:
    """Set the focus to the row that a button added or changed."""
    for row in rows:
        if button.endswith(f" {row.prefix}"):
            row.apply_row_action()
    if rows and button == f"add {kind}":
        rows[-1].apply_row_action()
