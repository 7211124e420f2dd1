"""From rows to the specification that a data plane takes. The only place that opens secrets."""

from collections.abc import Callable
from functools import cache

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from django.conf import settings
from django.core.files.storage import default_storage, storages

from apps.clusters.images import project_image
from apps.core.encryption.crypto import SecretUnreadable
from apps.dataplane.errors import Permanent
from apps.dataplane.hibernation.plans import plan_from_json
from apps.dataplane.production import ProductionSpec
from apps.dataplane.spec import (
    CodeSpec,
    DeploymentSpec,
    PackageIndex,
    PackagesSpec,
    RestoreSpec,
    RuntimeSpec,
    SignInSpec,
    VariableSpec,
)
from apps.deployments.configuration.schema import Configuration
from apps.deployments.models import Deployment, Revision, SecretValue
from apps.deployments.reconciling.shared_values import shared_values
from apps.deployments.secrets import image_pulling, sealed
from apps.layers.catalogue import production_of
from apps.layers.queries import layers_above
from apps.layers.resolving import Said, resolve
from apps.own_images.references import pinned_name
from apps.runtimes.catalogue import runtime_called

CODE_FOLDER = "code"
PACKAGES_FOLDER = "packages"
# What a Deployment asks for packages. The app of package indexes, which is above this one, puts its
# query here when it is ready.
PACKAGE_INDEXES: list[Callable[[Deployment], tuple[PackageIndex, ...]]] = []
# Where a cluster gets what it restores, by the folder of that, from apps that are above, too.
RESTORE_SOURCES: dict[str, Callable[[RestoreSpec, str], RestoreSpec]] = {}


def compile_spec(*, deployment: Deployment, revision: Revision) -> DeploymentSpec:
    """Return everything that the data plane needs to apply a revision.

    Raises Permanent, with a message, when a secret cannot be opened or the runtime is gone.
    """
    configuration = revision.configuration
    runtime = runtime_spec(configuration)
    try:
        shared = shared_values(deployment)
        return DeploymentSpec(
            ref=deployment.ref,
            name=deployment.name,
            revision=revision.number,
            runtime=runtime,
            executor=configuration.executor,
            queues=configuration.queues,
            variables=_with_shared(_variables(configuration, deployment), shared.variables),
            code=_code(revision),
            secrets=sealed.open_airflow_secrets(deployment),
            sign_in=sign_in_spec(deployment.ref),
            settings=_settings(deployment, configuration),
            corrects_drift=configuration.corrects_drift,
            database_server=deployment.database_server,
            packages=_packages(deployment, revision, runtime),
            restore=_restore(deployment, revision),
            image_pull_secret=image_pulling.pull_secret(
                deployment=deployment, image=configuration.image
            ),
            package_indexes=_package_indexes(deployment, revision),
            environment=shared.document,
            restarts=deployment.restarts,
            hibernation=plan_from_json(deployment.hibernation),
            is_hibernating=deployment.is_hibernating,
        )
    except SecretUnreadable as error:
        raise Permanent(f"A secret of this Deployment cannot be decrypted. {error}") from error


def _settings(deployment: Deployment, configuration: Configuration) -> ProductionSpec:
    """Return the settings that hold. Raises Permanent for a priority class that the cluster no
    longer allows.
    """
    said = layers_above(cluster=deployment.cluster, workspace_id=deployment.workspace_id)
    own = Said(layer="deployment", values=configuration.own_settings)
    found = production_of({name: one.value for name, one in resolve((*said, own)).items()})
    if found.priority_class and found.priority_class not in found.allowed_priority_classes:
        raise Permanent(
            f"The cluster does not allow the priority class {found.priority_class}. Choose another "
            "one, or allow it in the settings of the cluster."
        )
    return found


def backup_name(key: str) -> str:
    """Return the name under which the storage of backups keeps the one with this key."""
    return f"{key}.dump"


def code_name(digest: str) -> str:
    """Return the name under which the storage keeps an archive of code."""
    return f"{CODE_FOLDER}/{digest}.zip"


def lock_name(digest: str) -> str:
    """Return the name under which the storage keeps a lock of packages."""
    return f"{PACKAGES_FOLDER}/{digest}.txt"


def runtime_spec(configuration: Configuration) -> RuntimeSpec:
    """Return what a configuration runs on: its runtime, in the image of its own if it has one.

    Raises Permanent when the runtime is gone.
    """
    try:
        runtime = runtime_called(configuration.runtime)
    except KeyError:
        raise Permanent(
            f"The runtime {configuration.runtime} is not available here. Choose another one."
        ) from None
    return RuntimeSpec(
        version=runtime.version,
        airflow_version=runtime.airflow_version,
        image=pinned_name(configuration.image.name, configuration.image.digest)
        if configuration.image
        else runtime.image,
        lock_path=str(runtime.lock_path),
    )


def _variables(configuration: Configuration, deployment: Deployment) -> tuple[VariableSpec, ...]:
    ids = configuration.secret_ids
    rows = SecretValue.objects.filter(pk__in=ids, deployment=deployment) if ids else ()
    values = {str(row.pk): sealed.open_secret_value(row) for row in rows}
    specs = []
    for variable in configuration.variables:
        value = values.get(variable.secret_id) if variable.is_secret else variable.value
        if value is None:
            raise Permanent(f"The value of {variable.key} is missing. Enter it again.")
        specs.append(VariableSpec(key=variable.key, value=value, is_secret=variable.is_secret))
    return tuple(specs)


def _with_shared(
    own: tuple[VariableSpec, ...], shared: tuple[VariableSpec, ...]
) -> tuple[VariableSpec, ...]:
    names = {variable.key for variable in own}
    return (*own, *(variable for variable in shared if variable.key not in names))


def _code(revision: Revision) -> CodeSpec | None:
    if not revision.code_digest:
        return None
    path = default_storage.path(code_name(revision.code_digest))
    return CodeSpec(digest=revision.code_digest, archive_path=path)


def _packages(
    deployment: Deployment, revision: Revision, runtime: RuntimeSpec
) -> PackagesSpec | None:
    digest = revision.packages_digest
    if not digest:
        return None
    cluster, image = deployment.cluster, ""
    if cluster.is_kubernetes:
        image = project_image(cluster=cluster, runtime_image=runtime.image, packages_digest=digest)
    path = default_storage.path(lock_name(digest))
    return PackagesSpec(digest=digest, lock_path=path, image=image)


def _package_indexes(deployment: Deployment, revision: Revision) -> tuple[PackageIndex, ...]:
    """Return what this machine asks for the packages of a revision, which applying it may install.
    A cluster has an image of them already.
    """
    if not revision.packages_digest or deployment.cluster.is_kubernetes:
        return ()
    return tuple(one for query in PACKAGE_INDEXES for one in query(deployment))


def _restore(deployment: Deployment, revision: Revision) -> RestoreSpec | None:
    """Once applied, a revision restores nothing any more: its backup may be removed."""
    wish = revision.restore
    if wish is None or revision.applied_at is not None:
        return None
    restore = RestoreSpec(
        key=wish["key"],
        dump_path=storages["backups"].path(backup_name(wish["backup"])),
        sha256=wish["sha256"],
        airflow_version=wish["airflow_version"],
        pauses_dags=wish["pauses_dags"],
        is_fetched=wish.get("is_fetched", False),
    )
    if deployment.cluster.is_kubernetes:
        folder, _, _ = wish["backup"].rpartition("/")
        return RESTORE_SOURCES[folder](restore, wish["backup"])
    return restore


def sign_in_spec(ref: str) -> SignInSpec:
    """Return how the Airflow called `ref` trusts the portal. Raises Permanent without a key."""
    return SignInSpec(
        portal_url=settings.PORTAL_URL,
        issuer=settings.PORTAL_URL,
        audience=f"airflow:{ref}",
        public_key_pem=settings.AIRFLOW_SIGN_IN_PUBLIC_KEY
        or _public_key_of(settings.AIRFLOW_SIGN_IN_KEY),
    )


@cache
def _public_key_of(private_pem: str) -> str:
    if not private_pem:
        raise Permanent(
            "Neither PORTAL_AIRFLOW_SIGN_IN_PUBLIC_KEY nor PORTAL_AIRFLOW_SIGN_IN_KEY is set, so "
            "no one could sign in to Airflow."
        )
    public = load_pem_private_key(private_pem.encode(), password=None).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
