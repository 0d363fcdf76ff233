"""The Job that sets up the object store, run for real: each consumer may do what its policy says, and nothing else."""

import functools
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from minio import Minio
from minio.error import S3Error
from support.manifests import find, pod_specs

from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.runtime.storage import ObjectStore
from stagewright.pipelines.tooling.store_setup import set_up

BUCKETS = ["data", "mlflow", "models", "monitoring", "pipelines"]
MAY_WRITE = {
    "artifacts": {"pipelines"},
    "mlflow": {"mlflow"},
    "monitoring": {"monitoring"},
    "predictor": set(),
    "steps": {"data", "models", "monitoring"},
}
MAY_READ = MAY_WRITE | {"predictor": {"models"}}


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policies as the Job's volume has them: taken from the rendered ConfigMap."""
    folder = tmp_path_factory.mktemp("policies")
    (volume,) = (volume for volume in _job()["volumes"] if volume["name"] == "policies")
    for name, text in find("base/minio", "ConfigMap", volume["configMap"]["name"])["data"].items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Credentials as the Job's volume has them: the paths are those of the manifest."""
    folder = tmp_path_factory.mktemp("users")
    (volume,) = (volume for volume in _job()["volumes"] if volume["name"] == "users")
    for source in volume["projected"]["sources"]:
        for item in source["secret"]["items"]:
            path = folder / item["path"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{path.parent.name}-{'user' if 'ID' in path.name else 'password-of-a-test'}")
    return folder


@pytest.fixture(scope="module")
def ready(object_store: str, policies: Path, users: Path) -> Callable[[str], Minio]:
    """A client of each consumer, after the Job ran twice."""
    for _ in range(2):
        assert set_up(buckets=_buckets(), policies=policies, users=users) == sorted(MAY_WRITE)

    def client(consumer: str) -> Minio:
        keys = [(users / consumer / name).read_text() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
        host = urlsplit(object_store).netloc
        return Minio(host, access_key=keys[0], secret_key=keys[1], secure=False, region="us-east-1")

    return client


def _job() -> dict:
    (spec,) = pod_specs(find("base/minio", "Job", "minio-setup"))
    return spec


def _buckets() -> list[str]:
    return [argument.removeprefix("--bucket=") for argument in _job()["containers"][0]["args"] if "--bucket=" in argument]


def _allowed(action: Callable[[], object]) -> bool:
    try:
        action()
    except S3Error as error:
        if error.code != "AccessDenied":
            raise
        return False
    return True


def test_the_job_makes_the_buckets_of_the_design() -> None:
    assert sorted(_buckets()) == BUCKETS


def test_the_module_that_the_job_runs_is_this_one() -> None:
    assert _job()["containers"][0]["command"] == ["python", "-m", set_up.__module__]


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("consumer", sorted(MAY_WRITE))
def test_a_consumer_may_do_what_it_must_and_nothing_else(ready: Callable[[str], Minio], consumer: str, bucket: str) -> None:
    ObjectStore.from_environment("a test").write(f"s3://{bucket}/there", b"by root")
    client = ready(consumer)

    reads = _allowed(lambda: client.get_object(bucket, "there").read())
    lists = _allowed(lambda: list(client.list_objects(bucket, recursive=True)))
    writes = _allowed(lambda: client.put_object(bucket, f"by-{consumer}", io.BytesIO(b"x"), 1))
    deletes = _allowed(lambda: client.remove_object(bucket, f"by-{consumer}"))

    assert (reads, lists) == (bucket in MAY_READ[consumer],) * 2
    assert (writes, deletes) == (bucket in MAY_WRITE[consumer],) * 2


def test_no_consumer_makes_buckets_or_users(ready: Callable[[str], Minio], policies: Path, users: Path, monkeypatch) -> None:
    for consumer in MAY_WRITE:
        assert not _allowed(lambda consumer=consumer: ready(consumer).make_bucket("another"))

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "steps-user")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "steps-password-of-a-test")
    with pytest.raises(ServiceUnavailable, match="refuses to set up the user of 'artifacts'"):
        set_up(buckets=[], policies=policies, users=users)


def test_a_large_model_is_uploaded_in_parts_by_the_steps_user(ready: Callable[[str], Minio]) -> None:
    size = 12 * 1024 * 1024
    ready("steps").put_object("models", "large", io.BytesIO(bytes(size)), -1, part_size=5 * 1024 * 1024)

    assert ready("predictor").stat_object("models", "large").size == size


def test_a_changed_password_is_taken_over(ready: Callable[[str], Minio], policies: Path, users: Path) -> None:
    file = users / "monitoring/AWS_SECRET_ACCESS_KEY"
    before = ready("monitoring")
    file.write_text("another-password-of-a-test")

    set_up(buckets=[], policies=policies, users=users)

    assert _allowed(lambda: list(ready("monitoring").list_objects("monitoring")))
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        list(before.list_objects("monitoring"))


def test_the_job_s_own_command_tells_what_it_did(object_store: str, policies: Path, users: Path, tmp_path: Path) -> None:
    container = _job()["containers"][0]
    folders = {"/etc/stagewright/policies": str(policies), "/etc/stagewright/users": str(users)}
    arguments = [functools.reduce(lambda text, pair: text.replace(*pair), folders.items(), text) for text in container["args"]]
    command = [sys.executable, *container["command"][1:], *arguments]

    done = subprocess.run(command, capture_output=True, text=True, check=False)
    failed = subprocess.run([*command, f"--users={tmp_path}"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("bucket_ready") == 5
    assert done.stderr.count("user_ready") == 5
    assert "password" not in done.stderr
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].startswith("error: ")


def test_what_is_missing_is_named(object_store: str, policies: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no policy in .*; expected a file CONSUMER.json"):
        set_up(buckets=[], policies=tmp_path, users=tmp_path)
    with pytest.raises(InputError, match=r"artifacts/AWS_ACCESS_KEY_ID cannot be read: .*; does the consumer's Secret exist\?"):
        set_up(buckets=[], policies=policies, users=tmp_path)


def test_a_store_that_never_answers_is_one_sentence(policies: Path, users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "root")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "password")
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:9"):
        set_up(buckets=["data"], policies=policies, users=users, wait_seconds=0)
