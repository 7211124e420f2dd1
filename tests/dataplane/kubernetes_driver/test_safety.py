from apps.dataplane.kubernetes.api.redaction import redact

CANARY = "Y2FuYXJ5"


def secret() -> dict:
    return {
        "kind": "Secret",
        "metadata": {
            "name": "s",
            "managedFields": [{"manager": "x"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY, "a": "b"},
        },
        "data": {"password": CANARY},
    }


def test_values_of_a_secret_become_digests_that_can_be_compared() -> None:
    one, other = redact(secret(), is_secret=False), redact(secret(), is_secret=True)

    assert CANARY not in str(one)
    assert one["data"] == other["data"]
    assert one["metadata"]["annotations"] == {"a": "b"}


def test_items_of_a_list_are_secrets_without_saying_so() -> None:
    item = secret()
    del item["kind"]

    told, seen = {"metadata": {}}, {"metadata": {}, "kind": "SecretList"}

    assert CANARY not in str(redact({**told, "items": [dict(item)]}, is_secret=True))
    assert CANARY not in str(redact({**seen, "items": [dict(item)]}, is_secret=False))


def test_other_objects_keep_their_data() -> None:
    item = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}

    assert redact(item, is_secret=False)["data"] == {"a": "b"}
