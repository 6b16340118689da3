import subprocess
import sys
import time

from benchmarks.processes import OWN, ProcessorTime, read_processor_time


def test_a_child_is_counted_under_what_it_runs() -> None:
    spin = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\ninput()"
    before = read_processor_time()
    with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE) as child:
        deadline = time.monotonic() + 60
        used = {}
        while sum(value for role, value in used.items() if role != OWN) < 0.3 and time.monotonic() < deadline:
            time.sleep(0.05)
            used = dict(read_processor_time().since(before).by_role)
        child.communicate(b"\n")
    assert sum(value for role, value in used.items() if role != OWN) >= 0.3


def test_readings_are_subtracted_by_role() -> None:
    earlier, later = ProcessorTime({"a": 1.0}, 5.0), ProcessorTime({"a": 3.0, "b": 0.5}, 9.0)
    used = later.since(earlier)
    assert used == ProcessorTime({"a": 2.0, "b": 0.5}, 4.0)
    assert used.tree == 2.5
