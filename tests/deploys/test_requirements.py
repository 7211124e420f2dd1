"""What a requirements file may say, and the sentence for everything else."""

import pytest

from apps.deploys.archives.building import ArchiveRefused
from apps.deploys.archives.requirements import requirements_of

HASH = "sha256:" + "a" * 64


def lines(text: str, **more: str) -> tuple[str, ...]:
    texts = {
        "requirements.txt": text,
        **{name.replace("__", "/"): one for name, one in more.items()},
    }
    return requirements_of({"requirements": texts}).lines


def test_names_extras_versions_markers_and_hashes_are_allowed():
    text = f"""
    # packages of the team
    pandas
    Snowflake-Connector[pandas] >=3,<4  # for loads
    tomli==2.0 ; python_version < "3.11"
    humanize==4.17.0 \\
        --hash={HASH} \\
        --hash {HASH}
    pandas
    """

    assert lines(text) == (
        "pandas",
        "Snowflake-Connector[pandas]<4,>=3",
        'tomli==2.0; python_version < "3.11"',
        f"humanize==4.17.0 --hash={HASH} --hash={HASH}",
    )


def test_another_file_of_the_project_may_be_named():
    texts = {
        "requirements.txt": "-r requirements-base.txt\n--requirement requirements/more.txt\n",
        "requirements-base.txt": "pandas\n",
        "requirements/more.txt": "-r ../requirements-base.txt\nhumanize\n",
    }

    assert requirements_of({"requirements": texts}).lines == ("pandas", "humanize")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-e .", "line 1: the option -e is not allowed. A package of the project"),
        ("--index-url https://x", "the option --index-url is not allowed. Which package index"),
        ("--extra-index-url=https://x", "the option --extra-index-url is not allowed"),
        ("-c constraints.txt", "the option -c is not allowed. The Deployment's runtime"),
        ("--pre", "Ask for a pre-release by its version"),
        ("--no-binary :all:", "the option --no-binary is not allowed. A line is the name"),
        ("pandas @ https://example.org/p.whl", "is an address or a path"),
        ("git+https://example.org/p.git", "is an address or a path"),
        ("./wheels/p.whl", "is an address or a path"),
        ("..\\p.whl", "is an address or a path"),
        ("pandas = 2", "is no requirement"),
        ("pandas; os.system('x')", "is no requirement"),
        ("-r ../secret.txt", "../secret.txt is no requirements file of the project"),
        ("-r requirements.txt", "requirements.txt is no requirements file of the project"),
    ],
)
def test_everything_else_is_refused_with_its_line(line: str, message: str):
    with pytest.raises(ArchiveRefused) as refused:
        lines(line + "\n")

    assert message in str(refused.value)
    assert "requirements.txt, line 1: " in str(refused.value)


def test_no_more_than_ten_problems_are_named():
    with pytest.raises(ArchiveRefused) as refused:
        lines("-e .\n" * 50)

    assert len(refused.value.error_messages) == 10


def test_a_project_that_asks_for_nothing_needs_nothing():
    assert not requirements_of({})
    assert not requirements_of({"requirements": {"requirements.txt": "# none\n"}})


def test_the_requirements_file_goes_before_the_dependencies_of_the_project():
    project = {"requirements": {"requirements.txt": "pandas"}, "dependencies": ["polars"]}

    assert requirements_of(project).lines == ("pandas",)
    assert requirements_of({"dependencies": ["polars>=1"]}).lines == ("polars>=1",)
