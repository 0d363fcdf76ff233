"""Credentials are put into a real cluster once, and what is there is left."""

import pytest
import yaml
from support.api_server import ApiServer
from typer.testing import CliRunner

from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.pipelines.cli.main import app
from stagewright.pipelines.cli.secrets import CREDENTIALS, apply, documents

NAMES = [credentials.name for credentials in CREDENTIALS]


def test_secrets_are_created_once_and_then_left(namespace: str) -> None:
    created = apply(documents(namespace), namespace)
    again = apply(documents(namespace), namespace)

    assert (created.created, created.kept) == (tuple(NAMES), ())
    assert (again.created, again.kept) == ((), tuple(NAMES))


def test_a_secret_without_a_key_is_told_and_not_changed(namespace: str) -> None:
    broken = documents(namespace)
    broken[0]["data"].pop("MINIO_ROOT_PASSWORD")
    apply(broken[:1], namespace)

    with pytest.raises(InputError) as told:
        apply(documents(namespace), namespace)
    assert str(told.value).startswith(f"Secret {namespace}/minio-root exists without MINIO_ROOT_PASSWORD; add it, or delete")


def test_a_namespace_that_is_not_there_is_told(namespace: str) -> None:
    del namespace  # the administrator signs in

    with pytest.raises(InputError, match=r"^there is no namespace 'nowhere' in the cluster; create it first$"):
        apply(documents("nowhere"), "nowhere")


def test_who_may_not_is_told(api: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(namespace, api.account_token(namespace, "default"))))

    with pytest.raises(ServiceUnavailable, match=r"the cluster refused to create Secret .*/minio-root: Forbidden$"):
        apply(documents(namespace), namespace)


def test_the_command_says_where_and_what_but_no_value(namespace: str) -> None:
    shown = CliRunner().invoke(app, ["secrets", "--namespace", namespace])

    assert shown.exit_code == 0, shown.output
    assert shown.output.splitlines()[0].startswith("cluster  https://127.0.0.1:")
    assert [line.split() for line in shown.output.splitlines()[1:]] == [["created", name] for name in NAMES]


def test_what_is_printed_can_be_created(api: ApiServer, namespace: str) -> None:
    shown = CliRunner().invoke(app, ["secrets", "--namespace", namespace, "--print"])

    made = api.apply(list(yaml.safe_load_all(shown.output)))
    assert [item["metadata"]["name"] for item in made] == NAMES
