"""Several Tritons behind one server: each does its share, and one that is lost is not missed."""

import time
from pathlib import Path

from tests.faults.conftest import Lasting, Served, client_of, pictures_of, request, running_triton


def test_they_share_the_work_and_one_that_is_lost_is_not_missed(
    lasting: Lasting, model_repository_dir: Path, tmp_path: Path
) -> None:
    with running_triton(model_repository_dir, tmp_path) as second:
        served = Served(f"{lasting.grpc_url},{second.grpc_url}", tmp_path)
        try:
            with client_of(served.start()) as client:
                before = lasting.generated(), second.generated()
                events = list(client.watch(client.submit(request()).search_id))
                assert len(pictures_of(events)) == 16
                assert lasting.generated() > before[0]
                assert second.generated() > before[1]
                search = client.submit(request())
                time.sleep(0.5)
                second.kill()
                events = list(client.watch(search.search_id))
                assert len(pictures_of(events)) == 16
                assert events[-1].HasField("finished")
        finally:
            served.kill()
