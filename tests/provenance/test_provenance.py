"""What delivered files say, read by c2pa's own reader, by Pillow and by OpenImageIO."""

import io
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree

import c2pa
import numpy as np
import OpenEXR
import pytest
import tifffile
from OpenImageIO import ImageBuf
from PIL import Image

from eacps.errors import DecoderUnavailable, InvalidRequest
from eacps.imaging import Inlay, decode_picture, deliver, encode_png
from eacps.provenance import (
    SOURCE_TYPE,
    Credentials,
    IngredientWorkers,
    Marking,
    RecordMode,
    packet_of,
    read_identity,
    read_record,
    scanned_records,
    self_made_identity,
)
from eacps.provenance.ingredients import UnusableScene, archive_of

RECORD = {
    "search_id": "0123",
    "candidate_id": "g1-003",
    "prompt": 'make her "smile" & <wink>, ünïcode ☺',
    "scores": {"identity": 0.5},
    "raw_scores": {"identity": 0.6},
    "recipe": [[7, 0.6], [9, 0.8]],
}
KINDS = {"PNG": "image/png", "TIFF": "image/tiff", "JPEG": "image/jpeg", "WEBP": "image/webp"}
SAMPLES = np.random.default_rng(0).integers(0, 65536, (48, 64, 3), np.uint16)
IDENTITY = self_made_identity()
XMP_WITH_ADDRESS = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{address}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def scene(fmt: str) -> bytes:
    file = io.BytesIO()
    if fmt == "TIFF":
        tifffile.imwrite(file, SAMPLES, photometric="rgb", metadata=None)
    elif fmt == "EXR":
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, {"RGB": (SAMPLES / 65535).astype(np.float16)}).write(file)
    else:
        Image.fromarray((SAMPLES >> 8).astype(np.uint8)).save(file, fmt)
    return file.getvalue()


def delivered(fmt: str, packet: str | None) -> bytes:
    data = scene(fmt)
    working = decode_picture(data)
    return deliver(data, Inlay(255 - working, working, (0, 0, 64, 48)), xmp=packet).data


def manifests(data: bytes, fmt: str) -> dict[str, object]:
    with c2pa.Reader(KINDS[fmt], io.BytesIO(data)) as reader:
        store: dict[str, object] = json.loads(reader.json())
    return store


@pytest.mark.parametrize("fmt", ["PNG", "TIFF"])
def test_pillow_reads_the_source_type_and_pixels_are_as_without(fmt: str) -> None:
    data, plain = delivered(fmt, packet_of(RECORD)), delivered(fmt, None)
    with Image.open(io.BytesIO(data)) as image:
        packet = image.tag_v2[700] if fmt == "TIFF" else image.info["xmp"]
    (description,) = ElementTree.fromstring(packet).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") == SOURCE_TYPE
    assert json.loads(description.get("{urn:eacps:record:1}Record", "")) == RECORD
    assert read_record(data) == RECORD
    assert np.array_equal(decode_picture(data), decode_picture(plain))
    assert read_record(plain) is None


def test_an_exr_says_so_in_its_header(tmp_path: Path) -> None:
    (tmp_path / "a.exr").write_bytes(delivered("EXR", packet_of(RECORD)))
    assert SOURCE_TYPE in ImageBuf(str(tmp_path / "a.exr")).spec().get_string_attribute("xmp")
    assert read_record((tmp_path / "a.exr").read_bytes()) == RECORD
    assert read_record(delivered("EXR", None)) is None


@pytest.mark.parametrize("fmt", ["JPEG", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_record_is_read_where_another_program_saved_it_in(fmt: str) -> None:
    file = io.BytesIO()
    packet = packet_of(RECORD).encode()
    options = {}
    if fmt == "PNG":
        from PIL.PngImagePlugin import PngInfo

        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet.decode())
    elif fmt == "TIFF":
        options["tiffinfo"] = {700: packet}
    else:
        options["xmp"] = packet
    Image.new("RGB", (40, 40)).save(file, fmt, **options)
    assert read_record(file.getvalue()) == RECORD


@pytest.mark.parametrize("data", [b"nothing", b"", encode_png(np.zeros((4, 4, 3), np.uint8))[:20]])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="is not a PNG"):
        read_record(data)


def test_the_operator_says_what_the_record_holds() -> None:
    full, anonymous, none = (
        read_record(delivered("PNG", Marking(None, mode).packet(RECORD)))
        for mode in (RecordMode.FULL, RecordMode.ANONYMOUS, RecordMode.NONE)
    )
    assert full == RECORD
    assert anonymous == {name: RECORD[name] for name in ("search_id", "candidate_id", "recipe")}
    assert none is None


@pytest.mark.parametrize("fmt", ["PNG", "TIFF"])
@pytest.mark.parametrize("origin", ["PNG", "TIFF", "JPEG", "WEBP", "EXR"])
def test_c2pa_validates_the_credentials(fmt: str, origin: str) -> None:
    data = delivered(fmt, packet_of(RECORD))
    signed = Credentials(IDENTITY).sealed(data, scene(origin))
    store = manifests(signed, fmt)
    assert store["validation_state"] == "Valid"
    assert {one["code"] for one in store.get("validation_status", [])} <= {"signingCredential.untrusted"}
    manifest = store["manifests"][store["active_manifest"]]
    (actions,) = (one["data"]["actions"] for one in manifest["assertions"] if one["label"].startswith("c2pa.actions"))
    assert {one.get("digitalSourceType") for one in actions if one["action"] != "c2pa.opened"} == {SOURCE_TYPE}
    assert [one["relationship"] for one in manifest.get("ingredients", [])] == ([] if origin == "EXR" else ["parentOf"])
    assert read_record(signed) == RECORD
    assert np.array_equal(decode_picture(signed), decode_picture(data))


def test_credentials_of_a_scene_become_an_ingredient_whole() -> None:
    first = Credentials(IDENTITY).sealed(delivered("PNG", None), scene("PNG"))
    before = manifests(first, "PNG")
    second = Credentials(self_made_identity()).sealed(delivered("TIFF", None), first)
    after = manifests(second, "TIFF")
    assert after["validation_state"] == "Valid"
    assert before["active_manifest"] in after["manifests"]
    assert len(after["manifests"]) == 2


def test_a_changed_file_does_not_validate() -> None:
    signed = bytearray(Credentials(IDENTITY).sealed(delivered("TIFF", None), scene("TIFF")))
    with tifffile.TiffFile(io.BytesIO(bytes(signed))) as file:
        offset = file.pages.first.dataoffsets[0]
    signed[offset + 9] ^= 1
    assert manifests(bytes(signed), "TIFF")["validation_state"] == "Invalid"


def test_a_format_without_credentials_is_left_alone() -> None:
    data = delivered("EXR", None)
    assert Credentials(IDENTITY).sealed(data, scene("EXR")) is data


def test_damaged_credentials_of_a_scene_do_not_cost_the_result() -> None:
    broken = bytearray(Credentials(IDENTITY).sealed(delivered("PNG", None), scene("PNG")))
    at = bytes(broken).index(b"caBX") + 40
    broken[at : at + 60] = bytes(60)
    signed = Credentials(IDENTITY).sealed(delivered("PNG", None), bytes(broken))
    assert manifests(signed, "PNG")["validation_state"] == "Valid"


def test_no_address_that_a_scene_names_is_called() -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        xmp = XMP_WITH_ADDRESS.format(address=f"http://127.0.0.1:{server.server_port}/stolen.c2pa")
        file = io.BytesIO()
        Image.fromarray((SAMPLES >> 8).astype(np.uint8)).save(file, "JPEG", xmp=xmp.encode())
        assert xmp.encode() in file.getvalue()
        signed = Credentials(IDENTITY).sealed(delivered("PNG", None), file.getvalue())
        assert manifests(signed, "PNG")["active_manifest"]
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


@pytest.fixture(scope="module")
def workers() -> Iterator[IngredientWorkers]:
    with IngredientWorkers() as some:
        yield some


def test_scenes_are_read_in_another_process_as_they_are_here(workers: IngredientWorkers) -> None:
    first = Credentials(IDENTITY).sealed(delivered("PNG", None), scene("PNG"))
    data = delivered("TIFF", None)
    stores = [
        manifests(Credentials(IDENTITY, read_scene=read).sealed(data, first), "TIFF")
        for read in (archive_of, workers.archive_of)
    ]
    for store in stores:
        assert store["validation_state"] == "Valid"
        assert manifests(first, "PNG")["active_manifest"] in store["manifests"]
    with pytest.raises(UnusableScene, match="cannot be read"):
        workers.archive_of(first[:60], "image/png")


@pytest.mark.parametrize("end", [signal.SIGABRT, signal.SIGXCPU])
def test_a_scene_that_ends_its_reader_costs_only_its_place_in_the_credentials(
    workers: IngredientWorkers, end: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    (worker,) = workers.pool.workers
    data, origin = delivered("PNG", None), scene("PNG")
    workers.archive_of(origin, "image/png")
    os.kill(worker.pid, signal.SIGSTOP)
    threading.Timer(1.0, lambda: (os.kill(worker.pid, end), os.kill(worker.pid, signal.SIGCONT))).start()
    signed = Credentials(IDENTITY, read_scene=workers.archive_of).sealed(data, origin)
    store = manifests(signed, "PNG")
    assert store["validation_state"] == "Valid"
    assert "ingredients" not in store["manifests"][store["active_manifest"]]
    assert "left out of the credentials" in caplog.text
    assert workers.archive_of(scene("PNG"), "image/png")


def test_a_reader_that_hangs_is_the_servers_fault() -> None:
    with IngredientWorkers(timeout_s=0.5) as some:
        os.kill(some.pool.workers[0].pid, signal.SIGSTOP)
        with pytest.raises(DecoderUnavailable, match="took too long"):
            Credentials(IDENTITY, read_scene=some.archive_of).sealed(delivered("PNG", None), scene("PNG"))


def test_a_certificate_that_expires_is_read_anew(caplog: pytest.LogCaptureFixture) -> None:
    hour = timedelta(hours=1)
    short, fresh = self_made_identity(hour), self_made_identity()
    there, time = [short], [datetime.now(UTC)]
    credentials = Credentials(short, renewed=lambda: there[0], now=lambda: time[0])
    credentials.check()
    assert "expires in 0 days" in caplog.text
    data = delivered("PNG", None)
    assert manifests(credentials.sealed(data, scene("PNG")), "PNG")["validation_state"] == "Valid"
    time[0] += 2 * hour
    assert credentials.sealed(data, scene("PNG")) == data, "nobody may sign with it any more"
    assert "without content credentials: the certificate expired on" in caplog.text
    with pytest.raises(InvalidRequest, match="cannot sign: the certificate expired on"):
        credentials.check()
    there[0] = fresh
    assert manifests(credentials.sealed(data, scene("PNG")), "PNG")["validation_state"] == "Valid"


def test_the_operators_certificate_signs(tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_bytes(IDENTITY.chain)
    (tmp_path / "key.pem").write_bytes(IDENTITY.key)
    read = read_identity(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert read == IDENTITY
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_identity(tmp_path / "chain.pem", tmp_path / "key.pem")


def test_a_certificate_that_cannot_sign_is_found_at_the_start() -> None:
    Credentials(IDENTITY).check()
    mismatched = replace(IDENTITY, key=self_made_identity().key)
    with pytest.raises(InvalidRequest, match="cannot sign"):
        Credentials(mismatched).check()


@pytest.mark.parametrize(
    "text",
    ['eacps:Record = "{&quot;a&quot;: 1}"', "eacps:Record='{\"a\": 1}'", '<eacps:Record>{"a": 1}</eacps:Record>'],
)
def test_a_record_is_scanned_as_any_program_writes_it(text: str) -> None:
    assert scanned_records(b"\x89PNG" + text.encode() + b"<") == [{"a": 1}]
    assert scanned_records(text.replace("Record", "record").encode()) == []
    assert scanned_records(b"eacps:Record>{}</eacps:Record>") == []
