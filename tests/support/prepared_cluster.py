"""A cluster as docs/cluster.md makes it, for `stagewright doctor` and for what `submit` looks at."""

import json
from typing import Any

from support.kubernetes_server import KubernetesServer

CORE = "/api/v1/namespaces/stagewright"
RUNTIMES = "/apis/serving.kserve.io/v1alpha1/namespaces/stagewright/servingruntimes"


def named(*names: str, **content: Any) -> list[dict[str, Any]]:
    return [{"metadata": {"name": name}, **content} for name in names]


def prepared() -> KubernetesServer:
    """The server, with everything that runs need in namespace stagewright."""
    keys = {"AWS_ACCESS_KEY_ID": "eA==", "AWS_SECRET_ACCESS_KEY": "eA=="}
    server = KubernetesServer()
    server.add("/api/v1/namespaces", *named("stagewright"))
    server.add(f"{CORE}/serviceaccounts", *named("stagewright-runner", "stagewright-predictor"))
    server.add(
        f"{CORE}/secrets", *named("stagewright-storage", "stagewright-artifacts", "stagewright-predictor-storage", data=keys)
    )
    addresses = {"AWS_ENDPOINT_URL": "http://minio:9000", "MLFLOW_TRACKING_URI": "http://mlflow:5000"}
    server.add(f"{CORE}/configmaps", *named("stagewright-config", data=addresses))
    server.add(f"{CORE}/configmaps", *named("kfp-launcher", data={"defaultPipelineRoot": "s3://pipelines/runs"}))
    server.add(f"{CORE}/endpoints", *named("minio", "mlflow", subsets=[{"addresses": [{"ip": "10.0.0.1"}]}]))
    server.add("/apis/serving.kserve.io", *named("v1beta1", "v1alpha1"))
    deploy = json.dumps({"defaultDeploymentMode": "Standard"})
    server.add("/api/v1/namespaces/kserve/configmaps", *named("inferenceservice-config", data={"deploy": deploy}))
    server.add(RUNTIMES, *named("stagewright-predictor"))
    have = [
        {"names": [f"registry.example.com/library/stagewright-{group}:0.1.0"]} for group in ("base", "predictor", "tabular")
    ]
    server.objects["/api/v1/nodes"] = named("node", status={"images": have})
    server.add(f"{CORE}/services", *named("ml-pipeline"))
    return server
