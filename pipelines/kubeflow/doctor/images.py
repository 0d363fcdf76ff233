"""Whether images can be pulled: asked of their registry, as far as it answers without credentials, or of the nodes."""

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
    """One finding for each image.

    Args:
        groups: Image groups that run.
        registry: Their registry; empty for images of the nodes themselves.
        tag: Their tag; empty for the installed version.
        on_nodes: Names of the images that the nodes have; None if that is not known.
    """
    for group in sorted(groups):
        name = image(group, registry=registry, tag=tag)
        yield _in_registry(name) if registry else _on_nodes(name, on_nodes)


def _on_nodes(name: str, on_nodes: set[str] | None) -> Finding:
    advice = "make images, and load them into the nodes or push them to a registry (docs/cluster.md, section 2)"
    if on_nodes is None:
        return unknown(f"image {name}", "the nodes cannot be asked, and no --registry is given", advice)
    if any(found == name or found.endswith(f"/{name}") for found in on_nodes):
        return ok(f"image {name}", "on a node")
    # A node tells of its fifty largest images only, unless it is set up otherwise.
    return unknown(f"image {name}", "no node tells of it", advice)


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
        return unknown(what, f"{host} cannot be reached from here", "ask from where it can be")
    if answer.status == 200:
        return ok(what, "can be pulled")
    if answer.status == 404:
        return missing(what, f"{host} has none", "make images, and push them (docs/cluster.md, section 2)")
    return unknown(what, f"{host} answers {answer.status} without credentials", "docker manifest inspect, signed in")
