import pytest

from tests.models.studio import Studio


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio.make(tmp_path_factory.mktemp("studio"))
