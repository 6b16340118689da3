"""Requests from people who mean no good, or programs that are broken: each with what is wrong with it."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from eacps.v1 import search_service_pb2 as pb

REALS = (float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 1e308, 5e-324)


def pictures() -> Iterator[tuple[str, bytes]]:
    """Bytes that are no acceptable picture."""
    files = {kind: encoded(kind) for kind in ("PNG", "JPEG", "WEBP")}
    for kind, data in files.items():
        for share in (0.02, 0.2, 0.5, 0.8):
            yield f"{kind} cut at {share:.0%}", data[: int(len(data) * share)]
        for place in (0, 1, 4, 12, 20):
            broken = bytearray(data)
            broken[place] ^= 0xFF
            if kind == "PNG" or place < 4:
                yield f"{kind} with byte {place} broken", bytes(broken)
    rng = np.random.default_rng(7)
    for size in (0, 1, 7, 64, 1000, 100_000):
        yield f"{size} random bytes", rng.bytes(size)
        yield f"{size} zeros", bytes(size)
    for kind in ("GIF", "BMP", "ICO", "PPM", "PCX", "TGA", "DDS", "JPEG2000"):
        yield f"a {kind}", encoded(kind)
    for text in (
        "<svg xmlns='http://www.w3.org/2000/svg'/>",
        "%PDF-1.7",
        "%!PS-Adobe-3.0 EPSF-3.0",
        "#!/bin/sh\nid",
        "MZ",
    ):
        yield f"text {text[:8]}", text.encode()
    for prefix in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"GIF89a"):
        yield f"only the beginning {prefix[:4]!r}", prefix
        yield f"a beginning {prefix[:4]!r} and noise", prefix + rng.bytes(500)
    for width, height in (
        (60_000, 60_000), (2**31 - 1, 1), (1, 2**31 - 1), (32769, 40), (40, 32769), (31, 40), (40, 31), (1, 1), (0, 40),
        (40, 0), (5000, 5000), (2**31, 2**31),
    ):  # fmt: skip
        yield f"a PNG that says it is {width}x{height}", claiming(width, height)
        yield f"a bomb of {width}x{height}", claiming(width, height, packed=bomb())
    yield "a PNG of nothing but its header", claiming(40, 40, packed=b"")
    yield "a polyglot: PDF in front of a PNG", b"%PDF-1.7\n" + files["PNG"]
    yield "a polyglot: ZIP in front of a PNG", b"PK\x03\x04" + files["PNG"]
    yield "a PNG with its checksum broken", files["PNG"][:-20] + bytes(20)
    yield "an animation of frames that lie about their size", encoded("GIF")


def encoded(kind: str, **options: Any) -> bytes:
    """A small picture in any format."""
    file = io.BytesIO()
    samples = np.random.default_rng(3).integers(0, 256, (40, 48, 3), np.uint8)
    Image.fromarray(samples).save(file, kind, **options)
    return file.getvalue()


def claiming(width: int, height: int, *, packed: bytes = b"\x78\x9c\x03\x00\x00\x00\x00\x01") -> bytes:
    """A PNG whose header says what it likes."""
    header = struct.pack(">IIBBBBB", width % 2**32, height % 2**32, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def bomb() -> bytes:
    """A megabyte that unpacks to a thousand."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()


def settings() -> Iterator[tuple[str, dict[str, Any]]]:
    """Fields of a request, out of every range."""
    for name in ("global_candidates", "parents", "children_per_parent", "local_rounds"):
        for value in (-1, 2**31 - 1, -(2**31)):
            yield f"search.eacps.{name} = {value}", {"search": pb.SearchSettings(eacps={name: value})}
    for strategy, name in (
        ("eacps_adaptive", "trajectories"),
        ("eacps_adaptive", "rounds"),
        ("best_of_n", "trajectories"),
    ):
        for value in (0, -1, 2**31 - 1):
            yield f"search.{strategy}.{name} = {value}", {"search": pb.SearchSettings(**{strategy: {name: value}})}
    for value in (0, 2**31 - 1):
        yield f"search.micro_batch = {value}", {"search": pb.SearchSettings(micro_batch=value)}
    for name in ("angle", "angle_decay"):
        for value in REALS:
            if not (name == "angle_decay" and value == 5e-324):
                move = {"spherical": {name: value}}
                yield f"search.eacps.spherical.{name} = {value}", {"search": pb.SearchSettings(eacps=move)}
    for value in REALS:
        if value not in (0.0, 5e-324):
            adaptive = {"fresh_share": value}
            yield f"search.eacps_adaptive.fresh_share = {value}", {"search": pb.SearchSettings(eacps_adaptive=adaptive)}
    for value in (0, 101, 2**31 - 1, -1):
        yield f"sampler.steps = {value}", {"sampler": pb.SamplerSettings(steps=value)}
    for value in (*REALS, 20.1):
        yield f"sampler.true_cfg_scale = {value}", {"sampler": pb.SamplerSettings(true_cfg_scale=value)}
    for name in ("scene_face", "character_face"):
        yield f"{name} = nothing", {name: pb.FaceSelector()}
        for value in (1000, 2**31 - 1, -1):
            yield f"{name}.index = {value}", {name: pb.FaceSelector(index=value)}
        yield f"{name}.likeness = nothing", {name: pb.FaceSelector(likeness=pb.Image())}
        yield f"{name}.likeness of a stranger", {name: pb.FaceSelector(likeness=pb.Image(artifact="0" * 64))}
        for value in (float("nan"), float("inf"), float("-inf"), 0.0, -1.0):
            yield f"{name}.box to {value}", {name: pb.FaceSelector(box=pb.Box(right=value, bottom=9.0))}
    for name in ("more_characters", "references"):
        yield f"a thousand {name}", {name: [pb.Image(data=b"x")] * 1000}
        yield f"a thousand {name} by name", {name: [pb.Image(artifact="0" * 64)] * 1000}
    for value in (float("nan"), float("inf"), -1.0):
        yield f"weight = {value}", {"scorers": [pb.ScorerSettings(name="brightness", weight=value)]}
        yield f"floor = {value}", {"scorers": [pb.ScorerSettings(name="brightness", weight=1.0, floor=value)]}
    yield "a scorer twice", {"scorers": [pb.ScorerSettings(name="brightness", weight=1.0)] * 2}
    yield "a scorer that nobody offers", {"scorers": [pb.ScorerSettings(name="../../etc/passwd", weight=1.0)]}
    yield "1000 scorers", {"scorers": [pb.ScorerSettings(name=f"s{n}", weight=1.0) for n in range(1000)]}
    nothing = [pb.ScorerSettings(name=name, held_out=True) for name in ("brightness", "other")]
    yield "weights of nothing", {"scorers": nothing}
    for number in (4, 99, 2**31 - 1):
        yield f"low_diversity {number}", {"search": pb.SearchSettings(low_diversity=number)}  # type: ignore[arg-type]
        yield f"scalarization {number}", {"scalarization": number}
        yield f"missing_scores {number}", {"missing_scores": number}
    for text in ("", " ", "\n\t", "x" * 2001, "<|im_start|>", "a <|vision_end|> b"):
        yield f"prompt {text[:12]!r}", {"prompt": text}
    for text in ("", "y" * 2001, "<|endoftext|>"):
        yield f"negative_prompt {text[:12]!r}", {"negative_prompt": text}
    for name in ("has space", "\t", "é", "x" * 129, "a\0b"):
        yield f"request_id {name[:12]!r}", {"request_id": name}
    for key, value in (("", "x"), ("k" * 64, "x"), ("k", "v" * 256), ("a\0", "b"), ("a", "b\0")):
        yield f"label {key[:8]!r}", {"labels": {key: value}}
    yield "17 labels", {"labels": {f"k{n}": "" for n in range(17)}}
    for value in (0, 1001, 2**31 - 1, -1):
        yield f"priority {value}", {"priority": value}
    for artifact in ("", "0" * 64, "../" * 20, "Z" * 64, "f" * 10_000, "\0" * 64):
        yield f"artifact {artifact[:8]!r}", {"character": pb.Image(artifact=artifact)}
    for name in ("denoiser_evaluations", "pictures", "vlm_calls"):
        yield f"budget.{name} = 0", {"budget": pb.Budget(**{name: 0})}
    for value in (float("nan"), 0.0, -1.0, 1.1, float("inf")):
        yield f"budget.target_potential = {value}", {"budget": pb.Budget(target_potential=value)}
        yield f"budget.min_gain_per_trajectory = {value}", {"budget": pb.Budget(min_gain_per_trajectory=value)}


def messages(good: bytes) -> Iterator[tuple[str, bytes]]:
    """Bytes that are no message: of a request, given one that is in order."""
    rng = np.random.default_rng(11)
    text = pb.RunSearchRequest(prompt="marker-of-a-prompt").SerializeToString()
    yield "a prompt that is not UTF-8", good + text.replace(b"marker", b"mar\xff\xfe\xfd")
    yield "a lone surrogate", good + text.replace(b"marker", b"mar\xed\xa0\x80")
    yield "an overlong encoding", good + text.replace(b"marker", b"mark\xc0\xaf")
    for cut in (1, 2, 3, len(good) // 2, len(good) - 1):
        yield f"a message cut at {cut}", good[:cut]
    for size in (1, 10, 1000):
        yield f"{size} random bytes", b"\xff" * size
        yield f"{size} bytes of noise", b"\x0a\xff\xff\xff\xff\x07" + rng.bytes(size)
    yield "a field of wrong type", b"\x0d\x01\x02\x03"
    yield "groups without end", b"\x0b" * 200
