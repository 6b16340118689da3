"""What the processes of the face models take: torch costs each of them seconds of the start, and they do without."""

import subprocess
import sys

from tests.conftest import ROOT

ADAPTERS = ("face_embed", "face_prior", "face_verify", "face_detector")
LOAD = """
import runpy, sys, types
sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
for adapter in sys.argv[1:]:
    assert "TritonPythonModel" in runpy.run_path(adapter)
print({"insightface", "torch"} & set(sys.modules))
"""


def test_face_models_import_no_torch() -> None:
    files = [str(ROOT / "model_repository" / name / "1" / "model.py") for name in ADAPTERS]
    done = subprocess.run([sys.executable, "-c", LOAD, *files], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "{'insightface'}"
