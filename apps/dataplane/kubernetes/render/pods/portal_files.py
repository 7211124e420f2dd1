"""The portal's own files inside an Airflow: plugins, example DAGs, and the programs of its pods."""

from functools import cache
from pathlib import Path

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render.places import CA_BUNDLE, DATABASE_CA
from apps.dataplane.kubernetes.render.target import Target
from apps.dataplane.site.trust import trusted

RUNTIME_FOLDER = Path(__file__).resolve().parents[5] / "runtime"
PORTAL_FILES = "portal-files"
PROGRAM_FILES = "programs"
TRUST = "trust"


@cache
def _texts(folder: str) -> dict[str, str]:
    files = sorted((RUNTIME_FOLDER / folder).glob("*.*"))
    return {path.name: path.read_text() for path in files if path.suffix in (".py", ".sql")}


EXAMPLE_FILES = tuple(_texts("example_dags"))


def plugin_files(target: Target) -> Manifest:
    """Return what is on every process's PYTHONPATH."""
    return target.manifest("ConfigMap", "plugins", component=PORTAL_FILES, data=_texts("plugins"))


def example_files(target: Target) -> Manifest:
    """Return the DAGs that are served until something was deployed."""
    data = _texts("example_dags")
    return target.manifest("ConfigMap", "example-dags", component=PORTAL_FILES, data=data)


def program_files(target: Target) -> Manifest:
    """Return the small programs that pods run beside Airflow, and the CA certificate of the
    database server that they and Airflow check.
    """
    data = _texts("pods") | database_ca(target)
    return target.manifest("ConfigMap", PROGRAM_FILES, component=PORTAL_FILES, data=data)


def database_ca(target: Target) -> dict[str, str]:
    """Return the file with the CA certificate, by name; none where none is checked."""
    server = target.config.database
    if server is None or not server.is_verified:
        return {}
    return {DATABASE_CA.rpartition("/")[2]: server.ca_certificate}


def trust_file(target: Target) -> tuple[Manifest, ...]:
    """Return the CAs that processes trust, where a company's are among them."""
    text = trusted(target.spec.settings)
    if not text:
        return ()
    data = {CA_BUNDLE.rpartition("/")[2]: text}
    return (target.manifest("ConfigMap", TRUST, component=PORTAL_FILES, data=data),)


def sign_in_files(target: Target) -> Manifest:
    """Return the portal's public key."""
    data = {"public-key.pem": target.spec.sign_in.public_key_pem}
    return target.manifest("ConfigMap", "sign-in", component=PORTAL_FILES, data=data)
