"""The gitops target: files and real git working trees."""

import subprocess
from pathlib import Path

import pytest

from stagewright.components.runtime.errors import InputError, MissingSetting, ServiceUnavailable
from stagewright.components.serving.targets.gitops import WrittenFiles, write_files
from stagewright.components.serving.targets.gitops_tree import CANARY, SERVICE


@pytest.fixture(autouse=True)
def own_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git without the configuration of whoever runs the tests."""
    (tmp_path / "gitconfig").write_text("[user]\nname = Tester\nemail = tester@example.com\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "apps").mkdir(parents=True)
    git(folder, "init", "--quiet")
    (folder / "README.md").write_text("read me\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Begin")
    return folder


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def put(folder: Path, manifest: str = "kind: A\n", *, commit: bool | None = None, **others: str) -> WrittenFiles:
    files = {SERVICE: manifest, **others}
    return write_files(files, str(folder), namespace="models", name="churn", message="Deploy churn v1.0.0", commit=commit)


def test_a_plain_folder_gets_the_file(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()

    written = put(tmp_path / "plain")

    assert written == WrittenFiles(tmp_path / "plain/models/churn", True, "")
    assert (written.path / SERVICE).read_text() == "kind: A\n"


def test_a_working_tree_gets_a_commit(repository: Path) -> None:
    written = put(repository / "apps")

    assert written.commit == git(repository, "rev-parse", "HEAD")
    assert git(repository, "show", "--name-status", "--format=%s", "HEAD").split("\n") == [
        "Deploy churn v1.0.0", "", "A\tapps/models/churn/inference-service.yaml",
    ]  # fmt: skip
    assert git(repository, "status", "--porcelain") == ""


def test_an_unchanged_manifest_makes_no_commit(repository: Path) -> None:
    first = put(repository)

    second = put(repository)

    assert (second.changed, second.commit) == (False, "")
    assert git(repository, "rev-parse", "HEAD") == first.commit


def test_a_changed_manifest_is_one_commit_more(repository: Path) -> None:
    put(repository)

    put(repository, "kind: B\n")

    assert git(repository, "rev-list", "--count", "HEAD") == "3"


def test_a_file_that_was_written_but_not_committed_is_committed(repository: Path) -> None:
    (repository / "models/churn").mkdir(parents=True)
    (repository / "models/churn" / SERVICE).write_text("kind: A\n")

    written = put(repository)

    assert not written.changed
    assert written.commit == git(repository, "rev-parse", "HEAD")


def test_what_others_staged_and_changed_stays_out(repository: Path) -> None:
    (repository / "theirs.txt").write_text("staged\n")
    git(repository, "add", "theirs.txt")
    (repository / "README.md").write_text("changed\n")

    put(repository)

    assert git(repository, "show", "--name-only", "--format=", "HEAD") == "models/churn/inference-service.yaml"
    assert git(repository, "status", "--porcelain").split("\n") == ["M README.md", "A  theirs.txt"]


def test_a_refusal_of_git_is_quoted(repository: Path) -> None:
    (repository / ".gitignore").write_text("models/\n")

    with pytest.raises(
        ServiceUnavailable, match=r"git add in .*/models/churn failed: .*ignored by one of your .gitignore files"
    ):
        put(repository)


def test_a_missing_identity_is_quoted(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(ServiceUnavailable, match=r"git commit in .* failed: .*"):
        put(repository)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the gitops folder .*/nowhere does not exist; make it or clone the repository first"):
        put(tmp_path / "nowhere")


def test_no_folder_is_told() -> None:
    with pytest.raises(MissingSetting, match="parameter 'gitops' not set; the gitops target needs the folder"):
        write_files({}, "", namespace="models", name="churn", message="")


def test_a_file_that_is_needed_no_more_is_removed_in_the_same_commit(repository: Path) -> None:
    put(repository, **{CANARY: "kind: B\n"})
    (repository / "models/churn/theirs.yaml").write_text("kind: C\n")

    written = put(repository, "kind: A2\n")

    assert written.changed
    changes = git(repository, "show", "--name-status", "--format=", "HEAD").split("\n")
    assert changes == ["D\tmodels/churn/canary.yaml", "M\tmodels/churn/inference-service.yaml"]
    assert git(repository, "status", "--porcelain") == "?? models/churn/theirs.yaml"


def test_nothing_is_committed_unless_it_is_wanted(repository: Path) -> None:
    written = put(repository, commit=False)

    assert (written.changed, written.commit) == (True, "")
    assert git(repository, "status", "--porcelain") == "?? models/"


def test_a_commit_needs_a_working_tree(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(InputError, match=r"the gitops folder .*/plain is no git working tree, so nothing can be committed"):
        put(tmp_path / "plain", commit=True)
    assert list((tmp_path / "plain").iterdir()) == []
