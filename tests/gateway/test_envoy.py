"""The whole API as JSON, by a real Envoy before a real search server of toy models."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from eacps.api.access import KeyRing, add_key
from eacps.client import Client, v1
from tests.cli.conftest import toy_server
from tests.cli.searches import picture
from tests.gateway.envoy import ENVOY, ROOT, envoy_before, local_configuration

SCENE, CHARACTER = (base64.b64encode(picture(hue)).decode() for hue in (10, 100))
SEARCH: dict[str, Any] = {
    "scene": {"data": SCENE},
    "character": {"data": CHARACTER},
    "prompt": "make the person smile — 笑顔",
    "search": {"best_of_n": {"trajectories": 3}, "random_seed": 1},
    "labels": {"shot": "12a"},
}


@pytest.fixture(scope="module")
def key_and_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A key, and the address of Envoy before a server that asks for it."""
    folder = tmp_path_factory.mktemp("envoy")
    key = add_key(folder / "api_keys.json", "studio")
    with toy_server(keys=KeyRing.read(folder / "api_keys.json")) as server, envoy_before(server, folder) as address:
        yield key, address


@pytest.fixture
def http(key_and_address: tuple[str, str]) -> Iterator[httpx2.Client]:
    key, address = key_and_address
    headers = {"authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=f"http://{address}", headers=headers, trust_env=False, timeout=60) as client:
        yield client


def lines(answer: httpx2.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def bytes_of(chunks: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(one["chunk"]) for one in chunks)


def test_every_method_has_a_place() -> None:
    paths = set()
    for method in v1.DESCRIPTOR.services_by_name["SearchService"].methods:
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        assert verb, method.name
        paths.add((verb, getattr(rule, verb)))
    assert len(paths) == len(v1.DESCRIPTOR.services_by_name["SearchService"].methods)


def nested(holder: Any) -> Iterator[descriptor_pb2.DescriptorProto]:
    for message in getattr(holder, "message_type", ()) or getattr(holder, "nested_type", ()):
        yield message
        yield from nested(message)


def test_the_descriptors_are_those_of_the_code() -> None:
    described = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "docker" / "eacps.binpb").read_bytes())
    files = {one.name: one for one in described.file}
    own = descriptor_pb2.FileDescriptorProto.FromString(v1.DESCRIPTOR.serialized_pb)
    for message in nested(files[own.name]):
        for one in message.field:
            one.ClearField("json_name")  # which is not in stubs
    assert files[own.name] == own, "run make proto"
    assert "google/rpc/error_details.proto" in files


def test_a_search_from_its_submission_to_its_deletion(http: httpx2.Client) -> None:
    created = http.post("/v1/searches", json=SEARCH).json()["search"]
    place = f"/v1/searches/{created['search_id']}"
    events = lines(http.get(f"{place}/events"))
    finished = events[-1]["event"]["finished"]
    assert [int(one["event"]["sequence"]) for one in events] == list(range(1, len(events) + 1))
    assert len(lines(http.get(f"{place}/events", params={"after_sequence": 2}))) == len(events) - 2
    search = http.get(place).json()["search"]
    assert search["state"] == "SEARCH_STATE_SUCCEEDED"
    assert search["request"]["prompt"] == SEARCH["prompt"]
    picked = http.get(f"{place}/candidates/{finished['best_candidate_id']}").json()
    downloaded = bytes_of(lines(http.get(f"/v1/artifacts/{search['result']['delivered']['artifact']}")))
    assert base64.b64decode(picked["delivered"]["data"]) == downloaded
    ranked = http.post(f"{place}:rank", json={"scorers": [{"name": "other", "weight": 1}]}).json()
    assert len(ranked["candidates"]) == 3
    listed = http.get("/v1/searches", params={"page_size": 5, "states": "SEARCH_STATE_SUCCEEDED"}).json()
    assert created["search_id"] in [one["search_id"] for one in listed["searches"]]
    assert http.post("/v1/searches:list", json={"labels": {"shot": "none"}}).json() == {}
    assert http.post(f"{place}:cancel", json={}).json()["search"]["state"] == "SEARCH_STATE_SUCCEEDED"
    assert http.delete(place).status_code == 200
    assert http.get(place).status_code == 404


def test_a_search_is_run_in_one_call(http: httpx2.Client) -> None:
    with http.stream("POST", "/v1/searches:run", json=SEARCH) as answer:
        first, *events = [json.loads(line) for line in answer.iter_lines()]
    assert first["search"]["search_id"]
    assert events[-1]["event"]["finished"]["delivered"]["data"]


def test_a_caller_that_leaves_ends_its_search(http: httpx2.Client) -> None:
    forever = SEARCH | {"search": {"best_of_n": {"trajectories": 4000}}, "labels": {"shot": "left"}}
    with http.stream("POST", "/v1/searches:run", json=forever) as answer:
        search_id = json.loads(next(answer.iter_lines()))["search"]["search_id"]
    assert "cancelled" in lines(http.get(f"/v1/searches/{search_id}/events"))[-1]["event"]


def test_pictures_are_uploaded_and_looked_at(http: httpx2.Client) -> None:
    data = base64.b64decode(SCENE)
    chunks = [{"chunk": base64.b64encode(part).decode()} for part in (data[:100], data[100:])]
    image = http.post("/v1/images", json=chunks).json()["image"]
    faces = http.post("/v1/images:detectFaces", json={"picture": image}).json()
    assert (faces["width"], faces["height"]) == (128, 128)
    edit = {"scene": image, "character": {"data": CHARACTER}}
    assert http.post("/v1/images:preparePrior", json=edit).json()["prior"]["data"]
    render = edit | {"prompt": "smile", "recipe": {"terms": [{"seed": 1, "coefficient": 1}]}}
    assert http.post("/v1/images:renderCandidate", json=render).json()["picture"]["data"]
    scored = http.post("/v1/images:score", json=edit | {"prompt": "smile", "images": [image]}).json()
    assert len(scored["evaluations"]) == 1
    assert http.get("/v1/capabilities").json()["checkpoint"]["name"] == "toy"


def test_what_is_only_checked_is_not_created(http: httpx2.Client) -> None:
    labeled = SEARCH | {"labels": {"shot": "checked"}}
    assert http.post("/v1/searches", params={"validate_only": "true"}, json=labeled).json() == {}
    assert http.post("/v1/searches:list", json={"labels": {"shot": "checked"}}).json() == {}


def test_errors_name_every_field_at_fault(http: httpx2.Client) -> None:
    answer = http.post("/v1/searches", json=SEARCH | {"prompt": "", "sampler": {"steps": 0}})
    assert answer.status_code == 400
    error = answer.json()
    assert error["code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    details = {one["@type"].rpartition(".")[2]: one for one in error["details"]}
    assert details["ErrorInfo"]["domain"] == "eacps.v1"
    named = details["BadRequest"].get("field_violations", details["BadRequest"].get("fieldViolations"))
    assert {one["field"] for one in named} == {"search.prompt", "search.sampler.steps"}


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("POST", "/v1/searches", "{", 400),
        ("POST", "/v1/searches", '{"scenes": 1}', 400),
        ("POST", "/v1/searches", '{"scene": {"data": "no base64!"}}', 400),
        ("GET", "/v1/searches?page=2", "", 400),
        ("GET", "/v1/nothing", "", 404),
        ("PUT", "/v1/searches", "{}", 404),
        ("GET", "/v1/searches/..%2f..%2fadmin", "", 400),
        ("POST", "/v1/images:detectFaces", json.dumps({"picture": {"data": "A" * 40_000_000}}), 429),
    ],
)
def test_requests_that_are_none(http: httpx2.Client, verb: str, path: str, body: str, status: int) -> None:
    assert http.request(verb, path, content=body).status_code == status


def test_keys_are_asked_for_and_pages_of_a_browser_are_not_let_in(key_and_address: tuple[str, str]) -> None:
    with httpx2.Client(base_url=f"http://{key_and_address[1]}", trust_env=False) as client:
        assert client.get("/v1/searches").status_code == 401
        assert client.get("/v1/searches", headers={"authorization": "Bearer wrong"}).status_code == 401
        headers = {"authorization": f"Bearer {key_and_address[0]}", "origin": "https://attacker.example"}
        assert client.get("/v1/searches", headers=headers).status_code == 403


def test_grpc_passes_through(key_and_address: tuple[str, str]) -> None:
    key, address = key_and_address
    with Client(address, api_key=key) as client:
        assert client.capabilities().checkpoint.name == "toy"


def test_a_faulty_configuration_would_be_seen(tmp_path: Path) -> None:
    text = local_configuration("127.0.0.1:1", 1)
    for number, faulty in enumerate((text.replace("lb_policy", "lb_polizy"), text.replace("SearchService]", "Other]"))):
        file = tmp_path / f"envoy{number}.yaml"
        file.write_text(faulty)
        command = [ENVOY, "--mode", "validate", "--config-path", file, "--use-dynamic-base-id"]
        assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode != 0
