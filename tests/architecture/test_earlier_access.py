"""What acts for a person, long after they made it, ends when the address of their account is proved
for the first time: whoever had the account before must not go on through it.
"""

from django.apps import apps

from apps.accounts.models import User

# Model and field → what ends it.
ENDS = {
    "usersessions.UserSession.user": "with the sessions",
    "mfa.Authenticator.user": "with the second factors",
    "organizations.ApiTokenSecret.made_by": "organizations.tokens.earlier_access",
    "organizations.PersonalToken.user": "organizations.tokens.earlier_access",
    "organizations.Invitation.invited_by": "organizations.tokens.earlier_access",
    "sso.ScimToken.created_by": "sso.earlier_access",
    "sso.SSOConnection.configured_by": "sso.earlier_access",
    "sso.SSOConnection.approved_by": "sso.earlier_access",
    "deploys.GitRepository.connected_by": "deploys.git.earlier_access",
    "allauth_idp_oidc.Token.user": "organizations.tokens.earlier_access",
    "deploys.GitSource.set_by": "deploys.git.earlier_access",
    "deploys.BranchRule.set_by": "deploys.git.earlier_access",
    "deploys.Promotion.created_by": "deploys.promotion.earlier_access",
    "backups.Backup.created_by": "backups.earlier_access",
    "airflow_imports.AirflowImport.unpaused_by": "airflow_imports.earlier_access",
    "upgrades.Upgrade.confirmed_by": "upgrades.earlier_access",
    "bulk_actions.BulkAction.actor": "bulk_actions.earlier_access",
    # Not its field: a channel that triggers DAGs keeps who saved it in its configuration.
    "alerts.Channel.created_by": "alerts.channels.earlier_access",
}
STAYS = {
    "account.EmailAddress.user": "it is the proof",
    "socialaccount.SocialAccount.user": "to link one is a proof",
    "sso.ScimRecord.user": "to link one is a proof",
    "sso.ReservedKey.user": "an address of a connection to come, which does nothing",
    "sso.GroupMember.user": "what an identity provider said at a sign-in",
    "accounts.SignInLink.user": "an operator made it for the owner of the address",
    "sso.BypassLink.created_by": "it opens passwords, of no account in particular",
    "clusters.KeptSecret.user": "gone within an hour, and only that person's forms use it",
    "guardian.UserObjectPermission.user": "unused",
    "portal.Pin.user": "a mark on a page",
    "backups.BackupSchedule.changed_by": "the portal backs up, with no one's rights",
    "portal.Digest.user": "goes to the address that was proved, with what its owner may see",
    "allauth_idp_oidc.Client.owner": "the one client is built in, and is of no one",
}
# Names in a record. No right is asked of them.
NAMES = frozenset(
    {
        "acknowledged_by",
        "actor",
        "author",
        "created_by",
        "granted_by",
        "resent_by",
        "silenced_by",
        "updated_by",
    }
)
NAMES_ONLY = (
    "alerts",
    "audit",
    "deployments",
    "environment",
    "object_stores",
    "objectives",
    "observability",
    "package_indexes",
    "status_pages",
    "usage",
    "webhooks",
)
NAMED = {
    "airflow_imports.AirflowImport.created_by",
    "deploys.Deploy.created_by",
    "upgrades.Upgrade.created_by",
    "deploys.Preview.created_by",
    "deploys.Upload.created_by",
    "deploys.Promotion.decided_by",
    "organizations.ApiToken.created_by",
    "organizations.ApiToken.user",
}


def fields_of_people() -> set[str]:
    """Name every field that refers to an account, but for grants: roles stay with their people."""
    return {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if field.related_model is User and not model.__name__.endswith("Grant")
    }


def is_a_name(field: str) -> bool:
    app, _, rest = field.partition(".")
    return (
        field not in ENDS
        and app in NAMES_ONLY
        and rest.rpartition(".")[2] in NAMES
        or field in NAMED
    )


def test_whatever_acts_for_a_person_ends_with_what_others_had_set_up() -> None:
    found = {field for field in fields_of_people() if not is_a_name(field)}

    assert found - ENDS.keys() - STAYS.keys() == set(), (
        "Does the portal act for this person later, with the rights that they have then? Then "
        "connect to `earlier_access_ended`. If it does not, say why here."
    )
    assert (ENDS.keys() | STAYS.keys()) - found == set(), "These are gone: take them off the list."
