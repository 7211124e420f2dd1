from apps.audit.services import record


def write(organization, action, actor=None, label="etl"):
    return record(
        action=action,
        actor=actor,
        organization_id=organization.pk,
        target_kind="deployment",
        target_id=1,
        target_label=label,
        changes={"name": ["a <b>", "c"]},
    )


def test_an_owner_reads_what_happened(alice, organization, client_of):
    write(organization, "deployment.created", alice)

    page = client_of(alice).get("/o/nordhavn/audit/").content.decode()

    assert "deployment.created" in page
    assert "name: a &lt;b&gt; → c" in page


def test_filters_are_in_the_address(alice, organization, client_of):
    write(organization, "deployment.created", alice)
    write(organization, "secret.rotated", label="other")
    client = client_of(alice)

    assert b"deployment.created" not in client.get("/o/nordhavn/audit/?action=secret").content
    assert b"secret.rotated" not in client.get("/o/nordhavn/audit/?actor=alice").content
    assert b"No event matches" in client.get("/o/nordhavn/audit/?target=zzz").content


def test_it_is_paged(alice, organization, client_of):
    for number in range(60):
        write(organization, "deployment.created", label=f"etl-{number}.")

    page = client_of(alice).get("/o/nordhavn/audit/?page=2").content

    assert b"etl-1." in page
    assert b"etl-59." not in page


def test_a_member_is_told_who_may_read_it(alice, bob, client_of):
    refusal = client_of(bob).get("/o/nordhavn/audit/")

    assert refusal.status_code == 403
    assert b"Organization Owner" in refusal.content


def test_other_organizations_are_never_shown(alice, charlie, organization, client_of):
    write(organization, "deployment.created", label="ours-alone")
    client = client_of(charlie)

    assert client.get("/o/nordhavn/audit/").status_code == 404
    assert b"ours-alone" not in client.get("/o/elsewhere/audit/").content


def test_the_filters_bear_odd_input(alice, client_of):
    client = client_of(alice)

    for text in ("%25", "'", "x" * 5000):
        page = client.get(f"/o/nordhavn/audit/?actor={text}&action={text}&target={text}")
        assert page.status_code == 200
