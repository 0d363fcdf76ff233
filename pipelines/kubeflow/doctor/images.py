"""Check that images can be pulled, by a registry request without credentials or from the images on the nodes."""

from collections.abc import Iterable, Iterator

import urllib3

from stagewright.components.images import image
from stagewright.pipelines.kubeflow.doctor.finding import Finding, missing, ok, unknown

_ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
_TIMEOUT = 5.0


def images(groups: Iterable[str], *, registry: str, tag: str, on_nodes: set[str] | None) -> Iterator[Finding]:
    """Check each image.

    Args:
        groups: Image groups to check.
        registry: Image registry; empty for images on the nodes.
        tag: Image tag; empty for the installed version.
        on_nodes: Names of the images on the nodes; None if unknown.
    """
    for group in sorted(groups):
        name = image(group, registry=registry, tag=tag)
        yield _in_registry(name) if registry else _on_nodes(name, on_nodes)


def _on_nodes(name: str, on_nodes: set[str] | None) -> Finding:
    advice = "run 'make images', then load them onto the nodes or push them to a registry (docs/cluster.md, section 2)"
    if on_nodes is None:
        return unknown(f"image {name}", "the nodes cannot be read, and no --registry is set", advice)
    if any(found == name or found.endswith(f"/{name}") for found in on_nodes):
        return ok(f"image {name}", "on a node")
    # By default a node lists only its fifty largest images.
    return unknown(f"image {name}", "no node lists it", advice)


def _in_registry(name: str) -> Finding:
    host, _, rest = name.partition("/")
    path, _, tag = rest.rpartition(":")
    what = f"image {name}"
    pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)
    answer = None
    for scheme in ("https", "http"):
        try:
            answer = pool.request("HEAD", f"{scheme}://{host}/v2/{path}/manifests/{tag}", headers={"Accept": _ACCEPT})
            break
        except (urllib3.exceptions.HTTPError, ValueError):
            continue
    if answer is None:
        return unknown(what, f"{host} cannot be reached from here", "check from a machine that can reach it")
    if answer.status == 200:
        return ok(what, "can be pulled")
    if answer.status == 404:
        return missing(what, f"{host} does not have it", "run 'make images' and push them (docs/cluster.md, section 2)")
    return unknown(
        what, f"{host} returns status {answer.status} without credentials", "log in and run 'docker manifest inspect'"
    )
