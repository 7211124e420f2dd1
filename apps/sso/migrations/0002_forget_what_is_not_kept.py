"""Take out of stored resources what is not kept any more, such as passwords."""

from typing import Any

from django.db import migrations

COMMON = ("schemas", "id", "externalId", "meta")
KEPT: dict[str, dict[str, tuple[str, ...]]] = {
    "User": {
        "userName": (),
        "name": ("formatted", "familyName", "givenName"),
        "displayName": (),
        "active": (),
        "emails": ("value", "type", "primary"),
    },
    "Group": {"displayName": (), "members": ("value", "type")},
}


def forget(apps: Any, schema_editor: Any) -> None:
    records = apps.get_model("sso", "ScimRecord").objects
    for record in records.iterator():
        kept = _kept(record.document, KEPT.get(record.kind, {}))
        if kept != record.document:
            records.filter(pk=record.pk).update(document=kept)


def _kept(document: dict[str, Any], names: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    kept = {key: one for key, one in document.items() if key in COMMON or key in names}
    if isinstance(kept.get("schemas"), list):
        kept["schemas"] = [one for one in kept["schemas"] if ":schemas:core:" in str(one)]
    for name, subs in names.items():
        if subs and name in kept:
            kept[name] = _parts(kept[name], subs)
    return kept


def _parts(value: Any, subs: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_parts(one, subs) for one in value]
    if isinstance(value, dict):
        return {key: one for key, one in value.items() if key in subs}
    return value


class Migration(migrations.Migration):
    dependencies = [("sso", "0001_initial")]
    operations = [migrations.RunPython(forget, migrations.RunPython.noop)]
