"""Names of which KServe can make a service: DNS labels, alone and together with the namespace."""

import re

from stagewright.components.runtime.errors import BadParameter, one_of
from stagewright.components.runtime.naming import model_name

# KServe appends "-predictor", Knative "-00001" to that, and what they make must be a label of 63 characters.
LONGEST_SERVICE = {"Standard": 53, "Knative": 47}
_LONGEST_LABEL = 63
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def check_service(name: str, namespace: str = "", mode: str = "Standard") -> None:
    """Refuse a name that KServe could not make a service of, alone or in a namespace.

    Args:
        namespace: Of the service; empty if it is not known.

    Raises:
        BadParameter: Saying how long a name may be, and why.
    """
    one_of("mode", mode, tuple(LONGEST_SERVICE))
    if len(model_name(name)) > LONGEST_SERVICE[mode]:
        raise BadParameter("name", got=name, expected=f"at most {LONGEST_SERVICE[mode]} characters for KServe in {mode} mode")
    if namespace:
        check_namespace(namespace)
    if namespace and mode == "Standard":
        check_host(f"{name}-predictor", namespace, name=name)


def check_host(service: str, namespace: str, *, name: str) -> None:
    """Refuse what makes a host that is no DNS label: KServe joins the service and the namespace, and then does nothing.

    Args:
        service: What KServe makes of the name.

    Raises:
        BadParameter: Saying by how much the two are too long.
    """
    host = f"{service}-{namespace}"
    if len(host) > _LONGEST_LABEL:
        expected = (
            f"a name or a namespace shorter by {len(host) - _LONGEST_LABEL}: KServe makes the host {host} of them, which has "
            f"{len(host)} characters, and a DNS label has at most {_LONGEST_LABEL}"
        )
        raise BadParameter("name", got=name, expected=expected)


def check_namespace(namespace: str) -> None:
    """Refuse what is no name of a namespace.

    Raises:
        BadParameter: Saying what a name is made of.
    """
    if not _NAMESPACE.fullmatch(namespace):
        raise BadParameter("namespace", got=namespace, expected="lower-case letters, digits and '-', at most 63 characters")
