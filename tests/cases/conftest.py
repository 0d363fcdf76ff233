"""`make cases` runs these: each case of SHARED/cases, its output compared with what is right."""

import pytest
from support.cases import CASES, Cases


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """The cases, in a folder of their own."""
    if not CASES.is_dir():
        pytest.fail(f"{CASES} is not there; set SHARED to the folder that holds the cases")
    return Cases(tmp_path_factory.mktemp("shared"))
