"""Every page in a real browser, on a fake data plane: axe finds nothing, the console stays silent,
and nothing is wider than the smallest screen. Light and dark, wide and narrow.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from apps.deployments.models import Deployment
from tests.architecture.urls import API
from tests.dags.conftest import new_sign_in_key
from tests.e2e import stage
from tests.e2e.browser import Inspector, new_context
from tests.e2e.dags_on_stage import DAG_ID, RUN_ID, TASK_ID
from tests.observability.example_scaling import put_recording

pytest_plugins = ["tests.e2e.shared_browser"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

NAMESPACES = {
    "accounts",
    "airflow_access",
    "alerts",
    "webhooks",
    "usage",
    "object_stores",
    "objectives",
    "api",
    "airflow_imports",
    "backups",
    "bulk_actions",
    "clusters",
    "dags",
    "deployments",
    "deploys",
    "environment",
    "hibernation",
    "idp:oidc",
    "moving",
    "observability",
    "organizations",
    "package_indexes",
    "portal",
    "registry",
    "releases",
    "sso",
    "status_pages",
    "upgrades",
}
NOT_PAGES = {
    "accounts:end_session": "POST only",
    "api:metrics": "for machines",
    "api:openapi": "JSON",
    "api:upload": "PUT only",
    "registry:certificates": "a file",
    "registry:token": "for machines",
    "api:cli_config": "a file",
    "api:remove_personal_token": "POST only",
    "api:airflow": "for programs",
    "api:end_program": "POST only",
    "idp:oidc:auth_config": "JSON",
    "idp:oidc:authorization": "begins at a program: a test of its own",
    "idp:oidc:device_code": "POST only",
    "idp:oidc:revoke": "POST only",
    "idp:oidc:token": "POST only",
    "idp:oidc:userinfo": "JSON",
    "accounts:end_others": "POST only",
    "portal:healthz": "plain text",
    "portal:pin_deployment": "POST only",
    "portal:pin_workspace": "POST only",
    "portal:setup": "its link exists once; the journey walks it",
    "organizations:invitation": "its link exists once; the journey walks it",
    "organizations:resend_invitation": "POST only",
    "organizations:revoke_invitation": "POST only",
    "organizations:resend_workspace_invitation": "POST only",
    "organizations:revoke_workspace_invitation": "POST only",
    "organizations:rotate_token": "the same page as of a workspace",
    "organizations:revoke_token": "the same page as of a workspace",
    "deployments:rotate_token": "the same page as of a workspace",
    "deployments:revoke_token": "the same page as of a workspace",
    "organizations:remove_from_team": "POST only",
    "organizations:take_team_role": "POST only",
    "organizations:take_workspace_team_role": "POST only",
    "clusters:check": "POST only",
    "clusters:manifest": "a file",
    "clusters:storage": "part of the page of a cluster",
    "dags:pause": "POST only",
    "dags:log_tail": "a fragment",
    "dags:log_download": "a file",
    "deployments:rebase": "POST only",
    "deployments:discard": "POST only",
    "deployments:restore": "POST only",
    "deployments:try_again": "POST only",
    "deployments:put_back": "POST only",
    "deployments:take_role": "POST only",
    **{f"object_stores:{name}": "POST only" for name in ("test", "remove")},
    **{f"airflow_imports:{name}": "POST only" for name in ("create", "unpause", "remove")},
    **{
        f"backups:{name}": "POST only"
        for name in ("remove_schedule", "restore", "restore_new", "remove")
    },
    "environment:test": "POST only",
    "hibernation:follow": "POST only",
    "hibernation:remove_schedule": "POST only",
    "upgrades:cancel": "POST only",
    "releases:check": "POST only",
    "releases:try_again": "POST only",
    "deploys:download": "a file",
    "deploys:roll_back": "POST only",
    "deploys:cancel": "POST only",
    "deploys:promote": "POST only",
    "deploys:approval": "POST only",
    "deploys:approval_default": "POST only",
    "deploys:git_look": "POST only",
    "deploys:git_disconnect": "POST only",
    "deploys:enforcement": "POST only",
    "deploys:enforcement_default": "POST only",
    "deploys:test_git_repository": "POST only",
    "deploys:look_at_git_repository": "POST only",
    "deploys:make_git_webhook": "POST only",
    "deploys:git_state_token": "POST only",
    "deploys:remove_branch_rule": "POST only",
    "deploys:trust_git_host": "POST only",
    "deploys:remove_git_repository": "POST only",
    "deploys:git_webhook": "for machines",
    "airflow_access:open_airflow": "POST only",
    "airflow_access:airflow_entry": "leaves for Airflow; the journey walks it",
    "observability:analytics_points": "points of charts",
    "observability:analytics_csv": "a file",
    "observability:scaling_points": "points of charts",
    "observability:replay_points": "points of charts",
    "observability:stream": "JSON",
    "observability:log_stream": "JSON",
    "observability:remove_receiver": "POST only",
    "observability:log_tail": "a fragment",
    "observability:log_download": "a file",
    "observability:respond": "POST only",
    **{
        f"alerts:{scope}{name}": "POST only"
        for scope in ("", "workspace_")
        for name in ("switch_rule", "test_channel", "resend", "end_silence")
    },
    "alerts:acknowledge": "POST only",
    **{
        f"package_indexes:{scope}{name}": "POST only"
        for scope in ("", "workspace_", "deployment_")
        for name in ("test", "remove")
    },
    **{
        f"webhooks:{scope}{name}": "POST only"
        for scope in ("", "workspace_")
        for name in ("test", "rotate", "end_secret", "resend")
    },
    **{
        f"status_pages:{name}": "POST only"
        for name in (
            "switch",
            "move_component",
            "postmortem",
            "discard",
            "remove_subscriber",
            "subscribe",
        )
    },
    "organizations:export_audit": "a file",
    "environment:export": "a file",
    "environment:workspace_export": "a file",
    "environment:import_preview": "of what was pasted: a test of its own",
    "usage:csv": "a file",
    "usage:remove_price": "POST only",
    "objectives:csv": "a file",
    "objectives:organization_csv": "a file",
    "objectives:remove": "POST only",
    "portal:diagnostics": "a file",
    "organizations:verify_audit": "POST only",
    "sso:scim": "for machines",
    "airflow_access:airflow_role": "for machines",
    "sso:unmap": "POST only",
    "sso:unlink": "POST only",
    "sso:approve_connection": "POST only",
    "sso:link": "an identity waits in one session; tests/sso/test_linking.py walks it",
    "sso:link_by_mail": "its link exists once",
    "sso:start": "POST only; leaves for an identity provider",
    "sso:confirm": "leads on, unless the sign-in is old",
    "sso:confirm_at": "POST only",
    "sso:acs": "POST only",
    "sso:acs_finish": "leads on",
    "sso:callback": "leads on",
    "sso:metadata": "a file",
    "sso:bypass": "its link exists once",
    "sso:make_bypass_link": "POST only",
    "sso:check_domain": "POST only",
    "sso:test_connection": "POST only",
    "sso:switch_connection": "POST only",
}


def _pages(made: stage.Stage, bob: Any) -> list[tuple[str, list[Any]]]:
    ref, failed, busy = made.settled.ref, made.failed.ref, made.busy.ref
    return [
        ("portal:home", []),
        ("portal:search", []),
        ("portal:docs", []),
        ("portal:documentation", ["operating"]),
        ("portal:styleguide", []),
        ("portal:organization", ["nordhavn"]),
        ("portal:workspace", ["warehouse"]),
        ("portal:delete_workspace", ["warehouse"]),
        ("accounts:profile", []),
        ("accounts:sessions", []),
        ("organizations:own_roles", []),
        ("api:reference", []),
        ("api:use_cli", []),
        ("api:personal_tokens", []),
        ("api:new_personal_token", []),
        ("idp:oidc:device_authorization", []),
        ("accounts:mail", []),
        ("registry:setup", []),
        ("organizations:workspaces", ["nordhavn"]),
        ("organizations:new_workspace", ["nordhavn"]),
        ("organizations:members", ["nordhavn"]),
        ("organizations:invite_member", ["nordhavn"]),
        ("organizations:member", ["nordhavn", bob.pk]),
        ("organizations:member_account", ["nordhavn", bob.pk]),
        ("organizations:remove_member", ["nordhavn", bob.pk]),
        ("organizations:who", ["nordhavn"]),
        ("organizations:workspace_who", ["warehouse"]),
        ("deployments:who", [ref]),
        ("organizations:teams", ["nordhavn"]),
        ("organizations:new_team", ["nordhavn"]),
        ("organizations:team", ["nordhavn", made.team.pk]),
        ("organizations:team_settings", ["nordhavn", made.team.pk]),
        ("organizations:delete_team", ["nordhavn", made.team.pk]),
        ("organizations:team_roles", ["nordhavn"]),
        ("organizations:workspace_teams", ["warehouse"]),
        ("organizations:roles", ["nordhavn"]),
        ("organizations:tokens", ["nordhavn"]),
        ("organizations:new_token", ["nordhavn"]),
        ("organizations:workspace_tokens", ["warehouse"]),
        ("organizations:new_workspace_token", ["warehouse"]),
        ("organizations:rotate_workspace_token", ["warehouse", made.token.pk]),
        ("organizations:revoke_workspace_token", ["warehouse", made.token.pk]),
        ("deployments:tokens", [ref]),
        ("deployments:new_token", [ref]),
        ("organizations:role", ["nordhavn", made.role.pk]),
        ("organizations:new_role", ["nordhavn", "deployment"]),
        ("organizations:edit_role", ["nordhavn", made.role.pk]),
        ("organizations:delete_role", ["nordhavn", made.role.pk]),
        ("organizations:audit", ["nordhavn"]),
        ("organizations:leave", ["nordhavn"]),
        ("organizations:settings", ["nordhavn"]),
        ("organizations:workspace_members", ["warehouse"]),
        ("organizations:add_member", ["warehouse"]),
        ("organizations:workspace_member", ["warehouse", bob.pk]),
        ("organizations:remove_workspace_member", ["warehouse", bob.pk]),
        ("organizations:workspace_settings", ["warehouse"]),
        ("sso:overview", ["nordhavn"]),
        ("sso:provisioning", ["nordhavn"]),
        ("sso:revoke_token", ["nordhavn", made.scim_token.pk]),
        ("sso:change_domain", ["nordhavn", made.domain.pk]),
        ("sso:new_connection", ["nordhavn"]),
        ("sso:connection", ["nordhavn", made.connection.key]),
        ("sso:groups", ["nordhavn", made.connection.key]),
        ("sso:people", ["nordhavn", made.connection.key]),
        ("sso:edit_connection", ["nordhavn", made.connection.key]),
        ("sso:delete_connection", ["nordhavn", made.connection.key]),
        ("clusters:list", ["nordhavn"]),
        ("clusters:register", ["nordhavn"]),
        *(("clusters:find", ["nordhavn", cloud]) for cloud in ("aws", "azure", "google")),
        ("clusters:reconnect", ["nordhavn", made.remote.pk, "aws"]),
        ("clusters:cluster", ["nordhavn", made.remote.pk]),
        ("clusters:cluster", ["nordhavn", made.away.pk]),
        ("clusters:settings", ["nordhavn", made.remote.pk]),
        ("clusters:workspaces", ["nordhavn", made.remote.pk]),
        ("clusters:credential", ["nordhavn", made.remote.pk]),
        ("clusters:remove", ["nordhavn", made.remote.pk]),
        ("deployments:portal_settings", []),
        ("deployments:organization_settings", ["nordhavn"]),
        ("deployments:cluster_settings", ["nordhavn", made.remote.pk]),
        ("deployments:workspace_settings", ["warehouse"]),
        ("deployments:settings", [ref]),
        ("deployments:list", ["warehouse"]),
        ("deployments:new", ["warehouse"]),
        ("deployments:review", ["warehouse", made.draft.pk]),
        ("deployments:review", ["warehouse", made.edit.pk]),
        ("deployments:edit_draft", ["warehouse", made.draft.pk]),
        ("deployments:overview", [ref]),
        ("deployments:overview", [failed]),
        ("deployments:overview", [busy]),
        ("deployments:overview", [made.deleted.ref]),
        ("environment:deployment", [ref]),
        ("deployments:configure", [ref]),
        ("deployments:revisions", [ref]),
        ("deployments:revision", [ref, 2]),
        ("deployments:operations", [ref]),
        ("deployments:operation", [ref, made.operation.number]),
        ("deployments:operation", [failed, made.failure.number]),
        ("deployments:operation", [busy, made.running.number]),
        ("deployments:access", [ref]),
        ("deployments:delete", [ref]),
        ("deployments:restart", [ref]),
        ("moving:rename", [ref]),
        ("moving:copy", [ref]),
        ("moving:transfer", [ref]),
        ("hibernation:overview", [ref]),
        ("hibernation:hibernate", [ref]),
        ("hibernation:wake", [ref]),
        ("hibernation:limits", [ref]),
        ("hibernation:new_schedule", [ref]),
        ("hibernation:schedule", [ref, 1]),
        ("object_stores:list", ["nordhavn"]),
        ("object_stores:store", ["nordhavn", "backups"]),
        ("object_stores:store", ["nordhavn", "status-page"]),
        ("airflow_imports:list", ["warehouse"]),
        ("airflow_imports:new", ["warehouse"]),
        *[("airflow_imports:detail", ["warehouse", one]) for one in made.imports],
        ("backups:list", [ref]),
        ("backups:list", [failed]),
        *[("backups:detail", [ref, one]) for one in made.backups],
        ("backups:schedule", [ref]),
        ("backups:then_delete", [ref]),
        ("upgrades:list", [ref]),
        ("upgrades:upgrade", [ref, 1]),
        ("upgrades:upgrade", [ref, 2]),
        ("releases:runtimes", ["nordhavn"]),
        ("releases:report", ["nordhavn", "3.4.0"]),
        ("releases:report", ["nordhavn", "3.3.9"]),
        ("deploys:list", [ref]),
        ("deploys:list", [failed]),
        ("deploys:detail", [ref, made.deploy.number]),
        ("deploys:git_source", [ref]),
        ("deploys:git_repositories", ["warehouse"]),
        ("deploys:new_git_repository", ["warehouse"]),
        ("deploys:git_repository", ["warehouse", made.repository.pk]),
        ("deploys:edit_git_repository", ["warehouse", made.repository.pk]),
        ("deploys:branch_rule", ["warehouse", made.repository.pk]),
        *[("deploys:preview", [ref, preview.number]) for preview in made.previews],
        ("deploys:compare", [ref]),
        *[("deploys:promotion", [busy, one.number]) for one in made.promotions],
        ("observability:analytics", [ref]),
        ("observability:scaling", [ref]),
        ("observability:replay", [ref]),
        ("observability:remote_write", ["nordhavn"]),
        *_package_index_pages(made),
        ("dags:organization", ["nordhavn"]),
        ("dags:workspace", ["warehouse"]),
        ("dags:deployment", [ref]),
        ("dags:dag", [ref, DAG_ID]),
        ("dags:code", [ref, DAG_ID]),
        ("dags:grid", [ref, DAG_ID]),
        ("dags:trigger", [ref, DAG_ID]),
        ("dags:run", [ref, DAG_ID, RUN_ID]),
        ("dags:graph", [ref, DAG_ID, RUN_ID]),
        ("dags:act_on_run", [ref, DAG_ID, RUN_ID, "clear"]),
        ("dags:task", [ref, DAG_ID, RUN_ID, TASK_ID]),
        ("dags:act_on_task", [ref, DAG_ID, RUN_ID, TASK_ID, "mark-failed"]),
        ("observability:logs", [ref]),
        ("observability:why", [ref]),
        ("observability:incidents", [ref]),
        ("observability:incidents", [failed]),
        ("observability:workspace_incidents", ["warehouse"]),
        ("observability:organization_incidents", ["nordhavn"]),
        *(("observability:incident", [ref, one.pk]) for one in made.incidents),
        *_alert_pages(made),
        *_environment_pages(made),
        ("bulk_actions:choose", ["nordhavn"]),
        ("bulk_actions:workspace_choose", ["warehouse"]),
        ("bulk_actions:new", ["nordhavn", "variable"]),
        ("bulk_actions:workspace_new", ["warehouse", "restart"]),
        ("bulk_actions:action", ["nordhavn", made.bulk_actions["draft"]]),
        ("bulk_actions:workspace_action", ["warehouse", made.bulk_actions["stopped"]]),
        *_webhook_pages(made),
        ("usage:usage", ["nordhavn"]),
        ("usage:prices", []),
        ("objectives:organization", ["nordhavn"]),
        ("objectives:list", ["warehouse"]),
        ("objectives:new", ["warehouse"]),
        ("objectives:objective", ["warehouse", made.alerts.objective]),
        ("portal:support", []),
        ("portal:digest", []),
        ("portal:end_digest", [UUID(int=7)]),
        *_status_pages(made),
    ]


def _status_pages(made: stage.Stage) -> list[tuple[str, list[Any]]]:
    names = ("overview", "preview", "settings", "components", "new_component", "subscribers")
    found = made.status
    return [
        *((f"status_pages:{name}", ["nordhavn"]) for name in names),
        ("status_pages:component", ["nordhavn", found.component]),
        ("status_pages:delete_component", ["nordhavn", found.component]),
        ("status_pages:new_report", ["nordhavn", "incident"]),
        ("status_pages:new_report", ["nordhavn", "maintenance"]),
        *(
            ("status_pages:report", ["nordhavn", one])
            for one in (found.report, found.over, found.draft)
        ),
        ("status_pages:page", ["nordhavn"]),
        ("status_pages:file", ["nordhavn", "history.html"]),
        ("status_pages:subscribe_receiver", ["nordhavn"]),
        ("status_pages:confirm", [found.confirm]),
        ("status_pages:subscription", [found.subscription]),
    ]


def _alert_pages(made: stage.Stage) -> list[tuple[str, list[Any]]]:
    pages: list[tuple[str, list[Any]]] = [("alerts:alert", [made.settled.ref, made.alerts.alert])]
    for prefix, slug in (("", "nordhavn"), ("workspace_", "warehouse")):
        pages += [
            (f"alerts:{prefix}{name}", [slug])
            for name in ("overview", "new_rule", "channels", "deliveries", "silences")
        ]
        pages += [
            (f"alerts:{prefix}new_rule_of", [slug, "dag-late"]),
            (f"alerts:{prefix}new_channel", [slug, "webhook"]),
            (f"alerts:{prefix}new_channel", [slug, "dag"]),
            (f"alerts:{prefix}new_channel", [slug, "slack-app"]),
        ]
    found = made.alerts
    return pages + [
        ("alerts:new_rule_of", ["nordhavn", "incident"]),
        ("alerts:workspace_rule", ["warehouse", found.rule]),
        ("alerts:workspace_delete_rule", ["warehouse", found.rule]),
        ("alerts:workspace_channel", ["warehouse", found.channel]),
        ("alerts:workspace_delete_channel", ["warehouse", found.channel]),
        ("alerts:rule", ["nordhavn", found.rule_above]),
        ("alerts:delete_rule", ["nordhavn", found.rule_above]),
        ("alerts:channel", ["nordhavn", found.channel_above]),
        ("alerts:delete_channel", ["nordhavn", found.channel_above]),
    ]


def _package_index_pages(made: stage.Stage) -> list[tuple[str, list[Any]]]:
    places = (("", "nordhavn"), ("workspace_", "warehouse"), ("deployment_", made.settled.ref))
    return [
        (f"package_indexes:{prefix}{name}", [by, *more])
        for number, (prefix, by) in enumerate(places)
        for name, more in (("list", []), ("new", []), ("index", [made.package_indexes[number]]))
    ]


def _environment_pages(made: stage.Stage) -> list[tuple[str, list[Any]]]:
    ref, found = made.settled.ref, made.environment
    return [
        ("environment:workspace", ["warehouse"]),
        ("environment:workspace_types", ["warehouse"]),
        ("environment:workspace_new_object", ["warehouse", "variable"]),
        ("environment:workspace_object", ["warehouse", found["connection"]]),
        ("environment:workspace_object", ["warehouse", found["variable"]]),
        ("environment:workspace_delete_object", ["warehouse", found["connection"]]),
        ("environment:override", ["warehouse", found["connection"], ref]),
        ("environment:workspace_import", ["warehouse"]),
        ("environment:workspace_import_preview", ["warehouse"]),
        ("environment:import", [ref]),
        ("environment:types", [ref]),
        ("environment:new_object", [ref, "environment"]),
        ("environment:object", [ref, found["own"]]),
        ("environment:delete_object", [ref, found["own"]]),
    ]


def _webhook_pages(made: stage.Stage) -> list[tuple[str, list[Any]]]:
    return [
        (f"webhooks:{prefix}{name}", arguments)
        for prefix, slug, webhook in (
            ("", "nordhavn", made.alerts.webhook_above),
            ("workspace_", "warehouse", made.alerts.webhook),
        )
        for name, arguments in (
            ("list", [slug]),
            ("new", [slug]),
            ("webhook", [slug, webhook]),
            ("delete", [slug, webhook]),
        )
    ]


@pytest.fixture
def made(
    alice: Any, bob: Any, workspace: Any, cluster: Any, make_deployment: Any, settings: Any
) -> stage.Stage:
    settings.AIRFLOW_SIGN_IN_KEY = new_sign_in_key()
    settings.REGISTRY = "registry.example.org:5000"
    settings.WORKER_HOUR_PRICE = Decimal("0.12")
    settings.AZURE_PRINCIPAL = "0a1b2c3d-0000-4000-8000-00000000000a"
    settings.AZURE_ORGANIZATIONS = ("nordhavn",)
    alice.is_operator = True
    alice.save(update_fields=["is_operator"])
    built = stage.build(
        author=alice, workspace=workspace, cluster=cluster, make_deployment=make_deployment
    )
    put_recording(built.settled, now=timezone.now())
    return built


@pytest.fixture
def open_as(browser: Any, live_server: Any, client_of: Any) -> Any:
    contexts = []

    def make(user: Any = None) -> Inspector:
        context = new_context(browser, base_url=live_server.url)
        contexts.append(context)
        if user is not None:
            session = client_of(user).cookies["sessionid"].value
            context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        return Inspector(context.new_page())

    yield make
    for context in contexts:
        context.close()


def test_every_page_is_accessible_quiet_and_narrow_enough(
    open_as: Any, alice: Any, bob: Any, made: stage.Stage
) -> None:
    inspector = open_as(alice)

    for name, arguments in _pages(made, bob):
        inspector.visit(reverse(name, args=arguments))

    assert inspector.problems == []


def test_pages_of_somebody_who_may_only_look_hold_as_well(
    open_as: Any, bob: Any, made: stage.Stage
) -> None:
    inspector = open_as(bob)
    ref = made.settled.ref

    for name in ("overview", "configure", "delete", "access"):
        is_refused = name in ("configure", "delete")
        inspector.visit(
            reverse(f"deployments:{name}", args=[ref]), status=403 if is_refused else 200
        )
    inspector.visit(reverse("deploys:list", args=[ref]))
    inspector.visit("/d/nowhere/", status=404)

    assert inspector.problems == []


def test_pages_for_visitors_hold_as_well(open_as: Any, organization: Any) -> None:
    inspector = open_as()

    for name in ("account_login", "account_reset_password", "account_reset_password_done"):
        inspector.visit(reverse(name))
    inspector.visit(reverse("portal:setup", args=["never-made"]), status=410)

    assert inspector.problems == []


def test_a_form_with_mistakes_holds_as_well(open_as: Any, alice: Any, made: stage.Stage) -> None:
    inspector = open_as(alice)
    inspector.page.goto(reverse("deployments:new", args=["warehouse"]))

    inspector.page.get_by_role("textbox", name="Name").first.fill("")
    inspector.page.get_by_role("button", name="Review").first.click()
    inspector.look()

    assert inspector.page.locator("[aria-invalid=true]").count() > 0
    assert inspector.problems == []


def test_a_cluster_is_tested_in_place(open_as: Any, alice: Any, made: stage.Stage) -> None:
    inspector = open_as(alice)
    page = inspector.page
    page.goto(reverse("clusters:cluster", args=["nordhavn", made.away.pk]))

    page.get_by_role("button", name="Test again").click()
    page.get_by_text("It keeps Deployments in memory.").wait_for()

    assert page.get_by_text("The cluster does not answer").count() == 0
    inspector.look(is_thorough=False)
    assert inspector.problems == []


def test_what_would_be_imported_is_shown_before(
    open_as: Any, alice: Any, made: stage.Stage
) -> None:
    inspector = open_as(alice)
    page = inspector.page
    page.goto(reverse("environment:workspace_import", args=["warehouse"]))
    page.get_by_role("textbox").last.fill(
        "AIRFLOW_VAR_REGION=eu\nAIRFLOW_VAR_" + "LONG" * 30 + "=1"
    )

    page.get_by_role("button", name="Preview").click()
    page.get_by_role("checkbox", name="Import REGION").or_(
        page.get_by_role("checkbox", name="Import region")
    ).wait_for()

    inspector.look()
    assert inspector.problems == []


def test_another_cluster_is_followed_at_once_and_what_was_typed_stays(
    open_as: Any, alice: Any, made: stage.Stage
) -> None:
    inspector = open_as(alice)
    page = inspector.page
    page.goto(reverse("deployments:new", args=["warehouse"]))
    page.get_by_role("textbox", name="Name").first.fill("typed-before")

    page.get_by_role("radio", name="us-2").check()
    page.locator(f"[name=shown_for][value='{made.away.pk}']").wait_for(state="attached")

    assert page.get_by_role("textbox", name="Name").first.input_value() == "typed-before"
    assert page.get_by_role("radio", name="us-2").is_checked()
    assert page.get_by_role("radio", name="Celery").is_checked()
    assert page.get_by_label("Worker size").count() == 1
    assert page.get_by_role("button", name="Update choices").count() == 0
    inspector.look(is_thorough=False)
    page.get_by_role("button", name="Review").last.click()
    page.wait_for_url("**/drafts/*/")
    assert "on us-2" in page.get_by_role("main").inner_text()
    assert inspector.problems == []


def test_a_settled_page_polls_without_a_body_and_tells_the_time(
    open_as: Any, alice: Any, made: stage.Stage, make_deployment: Any
) -> None:
    quiet = make_deployment(name="quiet", ref="quiet-0001")
    inspector = open_as(alice)
    page = inspector.page
    answers: list[tuple[int, str]] = []
    page.on("response", lambda answer: answers.append((answer.status, answer.url)))
    page.goto(reverse("deployments:overview", args=[quiet.ref]))
    clock = page.locator("#components .live time")
    written = clock.inner_text()

    polls = 0
    while polls < 2:
        with page.expect_response(lambda answer: answer.status == 304, timeout=30_000):
            pass
        polls += 1

    statuses = [status for status, url in answers if url.endswith(f"/d/{quiet.ref}/")]
    assert statuses[:2] == [200, 200]
    assert set(statuses[2:]) == {304}
    assert clock.inner_text() != written
    assert page.get_by_role("heading", name="quiet").count() == 1
    Deployment.objects.filter(pk=quiet.pk).update(health="unhealthy")
    page.get_by_text("Unhealthy").first.wait_for(timeout=30_000)
    assert inspector.problems == []


def test_a_chosen_theme_comes_with_the_first_byte(open_as: Any, alice: Any, made: Any) -> None:
    inspector = open_as(alice)
    page = inspector.page
    page.goto(reverse("deployments:list", args=["warehouse"]))

    page.get_by_role("button", name="Switch between light and dark").click()
    page.reload()

    assert page.locator("html").get_attribute("data-theme") == "dark"
    inspector.look(is_thorough=False)
    assert inspector.problems == []


def test_the_palette_is_used_by_keyboard_alone(open_as: Any, alice: Any, made: stage.Stage) -> None:
    inspector = open_as(alice)
    page = inspector.page
    page.goto(reverse("portal:organization", args=["nordhavn"]))
    field = page.get_by_role("combobox", name="Search, or type an action")

    page.keyboard.press("Control+k")
    page.get_by_role("option", name="Open your profile").wait_for()
    inspector.look()
    page.keyboard.press("Escape")
    assert not field.is_visible()

    page.keyboard.press("/")
    page.keyboard.type("rep")
    page.get_by_role("option", name="reports").wait_for()
    active = page.locator("[role=option][aria-selected=true]")
    assert "reports" in active.inner_text()
    assert field.get_attribute("aria-activedescendant") == active.get_attribute("id")
    assert field.evaluate("one => one === document.activeElement")
    page.keyboard.press("Enter")
    page.wait_for_url("**/d/reports-22aa/")

    page.keyboard.press("Control+k")
    page.keyboard.type("create")
    page.get_by_role("option", name="Create Deployment in Warehouse").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url("**/o/nordhavn/workspaces/new/")
    assert inspector.problems == []


def test_enter_waits_for_the_results_of_what_was_typed(
    open_as: Any, alice: Any, made: stage.Stage
) -> None:
    page = open_as(alice).page
    page.goto(reverse("portal:organization", args=["nordhavn"]))

    page.keyboard.press("/")
    page.keyboard.type("etl-prod")
    page.keyboard.press("Enter")

    page.wait_for_url("**/d/etl-prod-7f3c/")


def test_contrast_is_asked_of_what_has_colors_not_seen_before(open_as: Any) -> None:
    inspector = open_as()
    page = "<html lang=en><title>A</title><main><h1>A</h1><p style='color: {}'>Words</p></main>"

    inspector.page.set_content(page.format("#111"))
    inspector.look()
    seen = len(inspector.known["light"])
    inspector.page.set_content(page.format("#111"))
    inspector.look()

    assert inspector.page.locator("[data-new-colors]").count() == 0
    assert len(inspector.known["light"]) == seen
    assert inspector.problems == []
    inspector.page.set_content(page.format("#ccc"))
    inspector.look()
    assert [problem.split()[1:3] for problem in inspector.problems] == [
        ["light:", "color-contrast:"],
        ["dark:", "color-contrast:"],
    ]


def test_every_page_of_ours_is_walked_here() -> None:
    walked = {name for name, _ in _names_walked()}

    names = set(_names(get_resolver().url_patterns, ""))

    assert names - walked - set(NOT_PAGES) == set()
    assert (walked | set(NOT_PAGES)) - names == set()


def _names_walked() -> list[tuple[str, list[Any]]]:
    class Anything:
        def __getattr__(self, name: str) -> "Anything":
            return self

        def __getitem__(self, name: object) -> "Anything":
            return self

        def __iter__(self) -> "Iterator[Anything]":
            yield self

    return _pages(Anything(), Anything())  # type: ignore[arg-type]


def _names(patterns: list[Any], namespace: str) -> list[str]:
    found = []
    for pattern in patterns:
        if str(pattern.pattern) == API:  # operations answer in JSON
            continue
        if isinstance(pattern, URLResolver):
            inside = ":".join(filter(None, (namespace, pattern.namespace)))
            found += _names(pattern.url_patterns, inside)
        elif isinstance(pattern, URLPattern) and namespace in NAMESPACES:
            found.append(f"{namespace}:{pattern.name}")
    return found
