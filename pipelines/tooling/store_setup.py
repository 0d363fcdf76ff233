"""Set up a cluster's object store: buckets, and a user for each consumer with only the rights of its policy.

Run as a Job by `manifests/base/minio`, with `python -m stagewright.pipelines.tooling.store_setup --policies FOLDER
--users FOLDER --bucket NAME ...`. Running it again restores users and policies to the files' contents.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError, ServiceUnavailable, StagewrightError
from stagewright.components.runtime.storage import ObjectStore

if TYPE_CHECKING:
    from minio.minioadmin import MinioAdmin

PURPOSE = "setting up the object store needs its root user"
ACCESS_KEY, SECRET_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
CONNECT_SECONDS, READ_SECONDS = 5.0, 30.0
POLL_SECONDS = 2.0


def set_up(*, buckets: Iterable[str], policies: Path, users: Path, wait_seconds: float = 120.0) -> list[str]:
    """Create missing buckets and users, and set every user's key and policy.

    Args:
        buckets: Names of the buckets.
        policies: Folder with `CONSUMER.json` for each consumer, a policy in AWS's language.
        users: Folder with `CONSUMER/AWS_ACCESS_KEY_ID` and `CONSUMER/AWS_SECRET_ACCESS_KEY`, as a mounted Secret has them.
        wait_seconds: How long the store may take to answer.

    Returns:
        The consumers.

    Raises:
        InputError: If a file is missing or empty, or there is no policy.
        ServiceUnavailable: If the store does not respond or denies a request.
    """
    files = sorted(policies.glob("*.json"))
    if not files:
        raise InputError(f"there is no policy in {policies}; expected a file CONSUMER.json for each consumer")
    consumers = {file.stem: (file, _key(users / file.stem, ACCESS_KEY), _key(users / file.stem, SECRET_KEY)) for file in files}
    store = ObjectStore.from_environment(PURPOSE)
    for bucket in buckets:
        _patiently(store, bucket, time.monotonic() + wait_seconds)
        logs.event("bucket_ready", bucket=bucket)
    for consumer, (policy, access_key, secret_key) in consumers.items():
        _user(store, consumer, policy, access_key, secret_key)
        logs.event("user_ready", consumer=consumer, access_key=access_key)
    return list(consumers)


def _key(folder: Path, name: str) -> str:
    try:
        value = (folder / name).read_text().strip()
    except OSError as error:
        raise InputError(f"{folder / name} cannot be read: {error.strerror}; does the consumer's Secret exist?") from None
    if not value:
        raise InputError(f"{folder / name} is empty")
    return value


def _patiently(store: ObjectStore, bucket: str, deadline: float) -> None:
    """Create a bucket; wait for the store, which may still be starting."""
    while True:
        try:
            store.ensure_bucket(bucket)
        except ServiceUnavailable:
            if time.monotonic() + POLL_SECONDS > deadline:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return


def _user(store: ObjectStore, consumer: str, policy: Path, access_key: str, secret_key: str) -> None:
    from minio.error import MinioAdminException
    from urllib3.exceptions import HTTPError

    admin = _admin(store)
    try:
        admin.policy_add(consumer, policy_file=policy)
        admin.user_add(access_key, secret_key)
        admin.policy_set(consumer, user=access_key)  # replaces every policy that the user had
    except MinioAdminException as error:
        said = " ".join(str(error).split())[:256]
        raise ServiceUnavailable(f"the object store refuses to set up the user of '{consumer}': {said}") from error
    except HTTPError as error:
        raise ServiceUnavailable(f"the object store at {store.settings.endpoint} does not answer: {error}") from error


def _admin(store: ObjectStore) -> "MinioAdmin":
    import certifi
    import urllib3
    from minio.credentials.providers import StaticProvider
    from minio.minioadmin import MinioAdmin

    settings = store.settings
    url = urlsplit(settings.endpoint)
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS), retries=urllib3.Retry(3, backoff_factor=0.5),
        cert_reqs="CERT_REQUIRED", ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
    )  # fmt: skip
    credentials = StaticProvider(settings.access_key, settings.secret_key.get_secret_value())
    return MinioAdmin(
        endpoint=url.netloc, credentials=credentials, region=settings.region, secure=url.scheme == "https", http_client=pool
    )


def main() -> int:
    """The command line; expected errors become one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m stagewright.pipelines.tooling.store_setup", description=set_up.__doc__)
    parser.add_argument("--bucket", action="append", required=True, metavar="NAME")
    parser.add_argument("--policies", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--users", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--wait-seconds", type=float, default=120.0)
    given = parser.parse_args()
    logs.configure()
    try:
        set_up(buckets=given.bucket, policies=given.policies, users=given.users, wait_seconds=given.wait_seconds)
    except StagewrightError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
