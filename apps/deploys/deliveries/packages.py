"""The packages of a revision, on the data plane that reads or runs it. Minutes at most."""

from dataclasses import replace

from apps.clusters.images import hold_project_image, keep_project_image
from apps.core.encryption.crypto import SecretUnreadable
from apps.dataplane.base import SupportsProjects
from apps.dataplane.errors import Permanent
from apps.dataplane.project import Package
from apps.dataplane.spec import DeploymentSpec
from apps.deployments.models import Deployment, Revision
from apps.deployments.reconciling.compiler import compile_spec
from apps.package_indexes.queries import package_indexes


def install_packages(
    *, plane: SupportsProjects, deployment: Deployment, revision: Revision
) -> tuple[DeploymentSpec, tuple[Package, ...]]:
    """Install the packages of a revision, which need not be saved; return its specification, which
    names the image that holds them where there is one, and the packages.
    """
    spec = compile_spec(deployment=deployment, revision=revision)
    if spec.packages is None:
        return spec, ()
    hold_project_image(cluster=deployment.cluster, packages_digest=spec.packages.digest)
    installed = plane.install_packages(spec=with_package_indexes(spec, deployment))
    if installed.image:
        keep_project_image(
            cluster=deployment.cluster,
            runtime_image=spec.runtime.image,
            packages_digest=spec.packages.digest,
            image=installed.image,
        )
        spec = replace(spec, packages=replace(spec.packages, image=installed.image))
    return spec, installed.packages


def with_package_indexes(spec: DeploymentSpec, deployment: Deployment) -> DeploymentSpec:
    """Return a specification that names what is asked for packages, in any case. Raises Permanent
    where the password of an index cannot be read.
    """
    try:
        return replace(spec, package_indexes=package_indexes(deployment))
    except SecretUnreadable as error:
        raise Permanent(f"The password of a package index cannot be read. {error}") from error
