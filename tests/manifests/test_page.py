"""docs/cluster.md says what the tree holds."""

import json
import re
from importlib.metadata import version

from support.manifests import MANIFESTS, ROOT, containers, objects

from stagewright.pipelines.secrets import CREDENTIALS

PAGE = (ROOT / "docs/cluster.md").read_text()


def test_the_images_to_mirror_are_those_that_run() -> None:
    told = set(re.findall(r"^\| `([^`]+)` \|", PAGE.split("<!-- images")[1].split("<!-- end -->")[0], re.MULTILINE))

    run = {container["image"] for item in objects("base") for container in containers(item) if "image" in container}
    compiled = json.dumps(objects("gitops/pipelines/production"))
    run |= set(re.findall(r'"image": "registry\.example\.com/ml/([^"]+)"', compiled))
    assert told == run


def test_the_folders_that_the_page_applies_are_there() -> None:
    for path in re.findall(r"-k (manifests/[\w/-]+)", PAGE):
        assert (ROOT / path / "kustomization.yaml").is_file(), path


def test_the_components_of_production_are_told() -> None:
    told = re.findall(r"^\| `([a-z-]+)` \| ", PAGE.split("## Production")[1].split("## GitOps")[0], re.MULTILINE)

    assert set(told) == {folder.name for folder in (MANIFESTS / "overlays/production").iterdir() if folder.is_dir()}


def test_numbers_of_the_page_are_right() -> None:
    assert len(CREDENTIALS) == 7, "the page says seven"
    assert f"stagewright-$group:{version('stagewright')}" in PAGE
