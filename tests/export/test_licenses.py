"""Licenses are data: of every network by content, card or name, and what they say to a business."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from eacps.cli.doctor import examine
from eacps.licenses import CommercialUse, License, business_use
from eacps.manifest import Manifest, content_sha256
from export import licenses
from export.inspection import inspect
from export.plan import print_plan
from export.prepared import prepare
from export.request import ExportRequest, InvalidOption, gather
from tests.conftest import STUDIO_ANSWERS
from tests.export.packs import arcface, inswapper, scrfd

BACKBONE = {"denoiser", "text_encoder", "vae_encoder", "vae_decoder", STUDIO_ANSWERS}
NO, YES, NOT_STATED = CommercialUse.NO, CommercialUse.YES, CommercialUse.NOT_STATED


def found(checkpoint: Path, **options: Any) -> dict[str, License]:
    return prepare(gather(ExportRequest(str(checkpoint), **options))).licenses


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A face pack about which nothing is stated."""
    folder = tmp_path / "faces of mine"
    folder.mkdir()
    scrfd(folder / "detector.onnx")
    arcface(folder / "recognizer.onnx")
    return folder


@pytest.fixture
def unstated(checkpoint_dir: Path, tmp_path: Path) -> Path:
    """studio-mini without its cards."""
    copy = tmp_path / "checkpoint"
    shutil.copytree(checkpoint_dir, copy, ignore=shutil.ignore_patterns("README.md"))
    return copy


def card(folder: Path, text: str) -> None:
    (folder / "README.md").write_text(f"---\n{text}\n---\n# A model\n", encoding="utf-8")


def test_studio_mini_is_under_this_projects_license(checkpoint_dir: Path) -> None:
    known = found(checkpoint_dir)
    assert set(known) == {*BACKBONE, "face_detector", "face_recognizer", "face_swapper", "face_verifier"}
    assert {(one.name, one.commercial) for one in known.values()} == {("Apache-2.0", YES)}
    assert business_use(known).answer == "yes"


def test_what_nothing_states_is_not_stated(unstated: Path, pack: Path) -> None:
    known = found(unstated, faces=str(pack))
    assert set(known.values()) == {License()}
    assert (License().name, License().commercial) == ("not stated", NOT_STATED)
    answer = business_use(known)
    assert answer.answer == "not known"
    assert "face_detector, face_recognizer have no license that is stated" in str(answer)


@pytest.mark.parametrize(
    ("text", "name", "commercial"),
    [
        ("license: apache-2.0", "Apache-2.0", YES),
        ("license: mit", "MIT", YES),
        ("license:\n- mit\n- apache-2.0", "MIT", YES),
        ("license: [apache-2.0, cc-by-nc-4.0]", "CC-BY-NC-4.0", NO),
        ("license: [apache-2.0, other]\nlicense_name: ours", "LicenseRef-ours", NOT_STATED),
        ("license: cc-by-nc-4.0", "CC-BY-NC-4.0", NO),
        ("license: other\nlicense_name: insightface", "LicenseRef-InsightFace", NO),
        ("license: other\nlicense_name: qwen-research\nlicense_link: LICENSE", "LicenseRef-Qwen-Research", NO),
        ("license: other\nlicense_name: flux-non-commercial-license", "LicenseRef-FLUX-Non-Commercial", NO),
        ("license: other", "LicenseRef-other", NOT_STATED),
        ("license: openrail++", "LicenseRef-openrail++", NOT_STATED),
        ("tags: [a]", "not stated", NOT_STATED),
        ("license: [", "not stated", NOT_STATED),
        ("", "not stated", NOT_STATED),
    ],
)
def test_model_cards_are_read(unstated: Path, pack: Path, text: str, name: str, commercial: CommercialUse) -> None:
    for folder in (unstated, unstated / "judge", pack):
        card(folder, text)
    known = found(unstated, faces=str(pack))
    assert {(one.name, one.commercial) for one in known.values()} == {(name, commercial)}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "                                 Apache License\n                           Version 2.0, January 2004",
            "Apache-2.0",
        ),
        ("MIT License\n\nCopyright (c) 2026", "MIT"),
        ("Qwen RESEARCH LICENSE AGREEMENT\n\nRelease Date", "LicenseRef-Qwen-Research"),
        ("# The MIT License (MIT)\n\nCopyright", "MIT"),
        ("For research only. Parts are under the Apache License Version 2.0", "not stated"),
        ("This is not the MIT License", "not stated"),
        ("All rights reserved.", "not stated"),
    ],
)
def test_a_licenses_text_counts_where_there_is_no_card(unstated: Path, text: str, name: str) -> None:
    (unstated / "LICENSE").write_text(text, encoding="utf-8")
    assert found(unstated)["denoiser"].name == name


@pytest.mark.parametrize(
    ("folder", "name", "commercial"),
    [
        ("Qwen-Image-Edit", "Apache-2.0", YES),
        ("Qwen-Image-Edit-2509", "Apache-2.0", YES),
        ("Qwen-Image-Edit-2511", "Apache-2.0", YES),
        ("FireRed-Image-Edit-1.0", "Apache-2.0", YES),
        ("FireRed-Image-Edit-1.1", "Apache-2.0", YES),
        ("Qwen-Image-2.1", "LicenseRef-Qwen-Research", NO),
        ("qwen-image-edit-2511", "Apache-2.0", YES),
        ("Qwen-Image-Edit-2511-finetuned", "not stated", NOT_STATED),
    ],
)
def test_checkpoints_are_known_by_name(unstated: Path, folder: str, name: str, commercial: CommercialUse) -> None:
    known = found(unstated.rename(unstated.with_name(folder)))["denoiser"]
    assert (known.name, known.commercial) == (name, commercial)
    assert folder in known.source or not known.source


@pytest.mark.parametrize(
    ("folder", "detector", "recognizer", "name", "commercial"),
    [
        ("buffalo_l", "det_10g", "w600k_r50", "LicenseRef-InsightFace", NO),
        ("buffalo_s", "det_500m", "w600k_mbf", "LicenseRef-InsightFace", NO),
        ("antelopev2", "scrfd_10g_bnkps", "glintr100", "LicenseRef-InsightFace", NO),
        ("mine", "det_10g", "w600k_r50", "LicenseRef-InsightFace", NO),
        ("AuraFace-v1", "detector", "recognizer", "Apache-2.0", YES),
    ],
)
def test_packs_are_known_by_name(
    checkpoint_dir: Path, pack: Path, folder: str, detector: str, recognizer: str, name: str, commercial: CommercialUse
) -> None:
    (pack / "detector.onnx").rename(pack / f"{detector}.onnx")
    (pack / "recognizer.onnx").rename(pack / f"{recognizer}.onnx")
    known = found(checkpoint_dir, faces=str(pack.rename(pack.with_name(folder))))
    for network in ("face_detector", "face_recognizer"):
        assert (known[network].name, known[network].commercial) == (name, commercial)


def test_content_counts_before_a_card(checkpoint_dir: Path, pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AuraFace's folder is Apache-2.0 by its card; the detector in it is InsightFace's, byte for byte."""
    card(pack, "license: apache-2.0")
    entry = licenses._Known(
        "InsightFace's models", "LicenseRef-InsightFace", "https://i", (), (content_sha256(pack / "detector.onnx"),)
    )
    monkeypatch.setattr(licenses, "_table", lambda: (entry,))
    known = found(checkpoint_dir, faces=str(pack))
    card_says = f"model card {pack.name}/README.md says Apache-2.0, but the file is not its own"
    said = f"InsightFace's models, by content: https://i; {card_says}"
    assert known["face_detector"] == License("LicenseRef-InsightFace", NO, said)
    assert (known["face_recognizer"].name, known["face_recognizer"].source) == (
        "Apache-2.0",
        f"model card {pack.name}/README.md",
    )
    assert str(business_use(known)) == (
        f"may a business use this: no, because face_detector is under LicenseRef-InsightFace ({said})"
    )
    card(pack, "license: other\nlicense_name: insightface")
    assert (
        found(checkpoint_dir, faces=str(pack))["face_detector"].source == "InsightFace's models, by content: https://i"
    )


def test_aurafaces_detector_is_insightfaces_and_its_recognizer_is_not() -> None:
    """By the digests that the hub states for the two files of fal/AuraFace-v1, and InsightFace for its det_10g."""
    of = {digest: known for known in licenses._table() for digest in known.sha256}
    detector = of["5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91"]
    recognizer = of["a7933ea5330113b01c9b60351d8f4c33003f145d8470ac5f0e52ee2effe25c60"]
    assert [known.license for known in (detector, recognizer)] == ["LicenseRef-InsightFace", "Apache-2.0"]


def test_a_swapper_and_a_verifier_count_by_themselves(checkpoint_dir: Path, pack: Path, tmp_path: Path) -> None:
    card(pack, "license: apache-2.0")
    swapper, verifier = inswapper(tmp_path / "inswapper_128.onnx"), arcface(tmp_path / "second.onnx", features=192)
    known = found(checkpoint_dir, faces=str(pack), swapper=str(swapper), verifier=str(verifier))
    assert known["face_swapper"].commercial is NO
    assert known["face_verifier"] == License()
    assert business_use(known).answer == "no"
    without = found(checkpoint_dir, faces=str(pack))
    assert "face_swapper" not in without
    assert business_use(without).answer == "yes"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Qwen-Image-Lightning-8steps-V1.0-bf16", "Apache-2.0"),
        ("Qwen-Image-Edit-2511-Lightning-4steps-V1.0", "Apache-2.0"),
        ("mine", "not stated"),
    ],
)
def test_a_lora_counts(checkpoint_dir: Path, tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / f"{file}.safetensors"
    path.write_bytes(b"")
    ingredients = gather(ExportRequest(str(checkpoint_dir)))
    known = licenses.licenses_of(replace(ingredients, lora=path), prepare(ingredients).faces, ["denoiser"])
    assert known["lora"].name == name


@pytest.mark.parametrize(
    ("stated", "network", "expected"),
    [
        ("face_detector=mit", "face_detector", ("MIT", YES)),
        ("face_detector=EUPL-1.2", "face_detector", ("EUPL-1.2", NOT_STATED)),
        ("faces=LicenseRef-Bought:commercial", "face_recognizer", ("LicenseRef-Bought", YES)),
        ("faces=LicenseRef-InsightFace:commercial", "face_detector", ("LicenseRef-InsightFace", YES)),
        ("checkpoint=Apache-2.0:non-commercial", "vae_encoder", ("Apache-2.0", NO)),
    ],
)
def test_whoever_exports_may_know_better(
    unstated: Path, pack: Path, stated: str, network: str, expected: tuple[str, CommercialUse]
) -> None:
    known = found(unstated, faces=str(pack), licenses=(stated,))[network]
    assert (known.name, known.commercial, known.source) == (*expected, "as stated by --license")


@pytest.mark.parametrize("stated", ["MIT", "face_swapper=MIT", "face_detector=", "juror=MIT", "faces=MIT:maybe"])
def test_a_license_of_nothing_is_refused(checkpoint_dir: Path, pack: Path, tmp_path: Path, stated: str) -> None:
    request = ExportRequest(str(checkpoint_dir), faces=str(pack), licenses=(stated,))
    with pytest.raises(InvalidOption, match="--license"):
        inspect(prepare(gather(request)), tmp_path / "output")


def test_manifest_plan_and_doctor_say_it(model_repository_dir: Path, checkpoint_dir: Path, pack: Path) -> None:
    manifest = Manifest.read(model_repository_dir)
    assert manifest is not None
    assert manifest.licenses == found(checkpoint_dir)
    plain = json.loads((model_repository_dir / "manifest.json").read_text(encoding="utf-8"))["licenses"]["denoiser"]
    assert plain == {"name": "Apache-2.0", "commercial": "yes", "source": "model card checkpoint/README.md"}
    (known,) = (check for check in examine(model_repository_dir) if check.name == "licenses")
    assert known.ok
    assert known.detail.startswith("may a business use this: yes: denoiser, ")
    console = Console(record=True, width=300)
    prepared = prepare(gather(ExportRequest(str(checkpoint_dir), faces=str(pack))))
    print_plan(prepared, pack.parent / "output", console)
    assert "may a business use this: not known, because face_detector, face_recognizer have no" in console.export_text()


def test_the_table_is_well_formed() -> None:
    data, known = licenses._data(), licenses._table()
    assert all(CommercialUse(stated) for stated in data["commercial"].values())
    assert set(data["aliases"].values()) | set(data["texts"].values()) <= set(data["commercial"])
    digests = [digest for one in known for digest in one.sha256]
    assert len(digests) == len(set(digests))
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    for one in known:
        assert one.license in data["commercial"]
        assert one.source.startswith("https://")
