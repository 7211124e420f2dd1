import pytest
from django.test import Client


@pytest.mark.parametrize(
    "path", ["/search?q=a%00b", "/healthz?%00", "/o/nordhavn/audit/?actor=%00"]
)
def test_a_query_with_a_nul_byte_is_refused_before_it_reaches_the_database(
    path: str, client: Client
) -> None:
    response = client.get(path)

    assert response.status_code == 400
    assert response["X-Request-ID"] in response.content.decode()
