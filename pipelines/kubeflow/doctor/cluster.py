"""Check the Kubernetes objects that runs and models need: namespace, accounts, permissions, Secrets, ConfigMaps, KServe."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from stagewright.components.serving.manifests.serving_runtime import SERVICE_ACCOUNT, STORAGE_SECRET
from stagewright.components.serving.variants import RUNTIME
from stagewright.pipelines.kubeflow.doctor.finding import Finding, missing, ok, unknown
from stagewright.pipelines.kubeflow.doctor.needs import LAUNCHER, Needs, Right
from stagewright.pipelines.kubeflow.kubernetes_api import KubernetesApi, Refused

NOT_FOUND, FORBIDDEN = 404, 403
_SECRETS = "stagewright secrets --namespace {namespace}, or see manifests/overlays/production/credentials.yaml"
_APPLY = "kubectl apply --server-side -k manifests/overlays/kind (docs/cluster.md, section 4)"
_KSERVE = "install KServe 0.20 or newer (docs/cluster.md, section 1)"
_REVIEWS = "/apis/authorization.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A namespace of a cluster to check."""

    api: KubernetesApi
    namespace: str

    def findings(self, needs: Needs, account: str) -> Iterator[Finding]:
        """Run all checks.

        Raises:
            ServiceUnavailable: If the API does not respond.
        """
        there = self._object(f"namespace {self.namespace}", f"/api/v1/namespaces/{self.namespace}", self._make_namespace())
        yield there
        if there.state == "missing":
            return
        yield from self.account(account, needs.rights)
        yield from self.mounted(needs)
        yield from self.kserve()

    def mounted(self, needs: Needs) -> Iterator[Finding]:
        """Check Secrets and ConfigMaps and their required keys."""
        yield from self._objects("secrets", "Secret", needs.secrets, _SECRETS.format(namespace=self.namespace))
        yield from self._objects("configmaps", "ConfigMap", needs.config_maps, _APPLY)

    def service(self, name: str) -> Finding:
        """Check that a Service has ready pods; used if the Service is not reachable from here."""
        what = f"Service {self.namespace}/{name}"
        found = self._read(f"{self._core}/endpoints/{name}")
        if isinstance(found, Refused):
            return self._refused(what, found, _APPLY)
        ready = any(subset.get("addresses") for subset in found.get("subsets") or [])
        advice = f"kubectl -n {self.namespace} get pods; kubectl -n {self.namespace} describe pods"
        return ok(what, "has ready pods") if ready else missing(what, "has no ready pod", advice)

    def address_of(self, variable: str) -> str:
        """A service's address in the steps' ConfigMap; empty if it is not set."""
        found = self._read(f"{self._core}/configmaps/stagewright-config")
        return "" if isinstance(found, Refused) else str((found.get("data") or {}).get(variable, ""))

    def images(self) -> set[str] | None:
        """Names of the images on the nodes; None if reading nodes is denied."""
        found = self._read("/api/v1/nodes")
        if isinstance(found, Refused):
            return None
        nodes = [(node.get("status") or {}).get("images") or [] for node in found.get("items") or []]
        return {name for images in nodes for image in images for name in image.get("names") or []}

    @property
    def _core(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    def _make_namespace(self) -> str:
        return "kubectl apply -k manifests/base/namespace" if self.namespace == "stagewright" else (
            f"kubectl create namespace {self.namespace}"
        )  # fmt: skip

    def account(self, account: str, rights: Iterable[Right]) -> Iterator[Finding]:
        """Check that a service account exists and has its permissions."""
        there = self._object(f"ServiceAccount {self.namespace}/{account}", f"{self._core}/serviceaccounts/{account}", _APPLY)
        yield there
        if there.state != "missing":
            yield from self.rights(account, rights, home=self.namespace)

    def rights(self, account: str, rights: Iterable[Right], *, home: str) -> Iterator[Finding]:
        """Check an account's permissions in this namespace.

        Args:
            home: Namespace of the account.
        """
        user = f"system:serviceaccount:{home}:{account}"
        lacking: list[str] = []
        for right in rights:
            allowed = self._may(user, home, right)
            if isinstance(allowed, Refused):
                command = f"kubectl auth can-i --list -n {self.namespace} --as {user}"
                yield unknown(f"rights of {account}", f"cannot be checked ({allowed})", f"as an administrator, run: {command}")
                return
            lacking += [] if allowed else [str(right)]
        what = f"rights of {account}"
        if lacking:
            advice = f"bind the Role of manifests/base/pipelines/runner.yaml to it in namespace {self.namespace}"
            yield missing(what, f"it may not {', '.join(lacking)}", advice)
        else:
            yield ok(what, "all permissions that runs need")

    def _may(self, user: str, home: str, right: Right) -> bool | Refused:
        """Whether an account has a permission, by a cluster-wide review or else one in the namespace."""
        spec = {
            "user": user,
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{home}", "system:authenticated"],
            "resourceAttributes": {"namespace": self.namespace, **right.attributes},
        }
        kinds = {
            "SubjectAccessReview": (f"{_REVIEWS}/subjectaccessreviews", {}),
            "LocalSubjectAccessReview": (
                f"{_REVIEWS}/namespaces/{self.namespace}/localsubjectaccessreviews", {"metadata": {"namespace": self.namespace}}
            ),
        }  # fmt: skip
        refused = Refused(FORBIDDEN, "")
        for kind, (path, about) in kinds.items():
            try:
                answer = self.api.post(path, {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec, **about})
            except Refused as error:
                refused = error
                continue
            return bool((answer.get("status") or {}).get("allowed"))
        return refused

    def _objects(self, plural: str, kind: str, wanted: dict[str, set[str]], advice: str) -> Iterator[Finding]:
        """Check Secrets or ConfigMaps and their required keys."""
        for name, keys in sorted(wanted.items()):
            what = f"{kind} {self.namespace}/{name}"
            found = self._read(f"{self._core}/{plural}/{name}")
            if isinstance(found, Refused):
                yield self._refused(what, found, f"kubectl create, or: {advice}" if name not in KNOWN else advice)
                continue
            lacking = sorted(keys - {*(found.get("data") or {}), *(found.get("binaryData") or {})})
            says = f"has no key {', '.join(lacking)}"
            yield missing(what, says, f"add it, or delete the {kind} and create it again: {advice}") if lacking else ok(what)

    def kserve(self) -> Iterator[Finding]:
        """Check KServe's resource types, deployment mode, and the runtime and service account of models."""
        versions = {"InferenceService": "v1beta1", "ServingRuntime": "v1alpha1"}
        for kind, version in versions.items():
            found = self._read(f"/apis/serving.kserve.io/{version}")
            what = f"KServe's {kind} ({version})"
            if isinstance(found, Refused):
                yield self._refused(what, found, _KSERVE)
                return
            yield ok(what)
        yield self._mode()
        yield self._runtime()
        yield self._object(
            f"ServiceAccount {self.namespace}/{SERVICE_ACCOUNT}", f"{self._core}/serviceaccounts/{SERVICE_ACCOUNT}", _APPLY
        )

    def _runtime(self) -> Finding:
        """Check the runtime, in the namespace or cluster-wide."""
        kinds = "/apis/serving.kserve.io/v1alpha1"
        own = self._object(
            f"ServingRuntime {self.namespace}/{RUNTIME}",
            f"{kinds}/namespaces/{self.namespace}/servingruntimes/{RUNTIME}",
            _APPLY,
        )
        if own.state != "missing" or isinstance(self._read(f"{kinds}/clusterservingruntimes/{RUNTIME}"), Refused):
            return own
        return ok(f"ClusterServingRuntime {RUNTIME}")

    def _mode(self) -> Finding:
        """Check the deployment modes: every service sets its own mode, but Knative mode needs Knative."""
        what = "KServe's deployment mode"
        knative = not isinstance(self._read("/apis/serving.knative.dev/v1"), Refused)
        found = self._read("/api/v1/namespaces/kserve/configmaps/inferenceservice-config")
        other = "Standard and Knative are available" if knative else "Standard is available; Knative is not installed"
        if isinstance(found, Refused):
            return unknown(
                what, f"{other}; its configuration cannot be read", "kubectl -n kserve get configmap inferenceservice-config"
            )
        try:
            default = json.loads((found.get("data") or {}).get("deploy", "{}")).get("defaultDeploymentMode", "Knative")
        except ValueError:
            return missing(what, "the key 'deploy' of ConfigMap kserve/inferenceservice-config is not valid JSON", _KSERVE)
        return ok(what, f"{default} by default; {other}")

    def _object(self, what: str, path: str, advice: str) -> Finding:
        found = self._read(path)
        return self._refused(what, found, advice) if isinstance(found, Refused) else ok(what)

    def _read(self, path: str) -> Any:
        try:
            return self.api.get(path)
        except Refused as error:
            return error

    @staticmethod
    def _refused(what: str, refused: Refused, advice: str) -> Finding:
        if refused.status == NOT_FOUND:
            return missing(what, "does not exist", advice)
        return unknown(what, f"cannot be read ({refused})", "ask an administrator to check")


KNOWN = {LAUNCHER, "stagewright-config", "stagewright-storage", "stagewright-artifacts", STORAGE_SECRET}
