"""``eacps faces``: which faces a picture shows, in the words that other commands take."""

from pathlib import Path

from rich.table import Table
from rich.text import Text

from eacps.cli.exit_codes import ExitCode
from eacps.cli.files import check_new, read_file, write_file
from eacps.cli.outcome import CommandFailed
from eacps.cli.server_caller import ServerCaller
from eacps.cli.streams import print_json
from eacps.drawing import draw_face_boxes, png_of_drawing
from eacps.errors import InvalidPicture
from eacps.imaging import TRUSTED, decode_picture
from eacps.v1 import search_service_pb2 as pb


def show_faces(caller: ServerCaller, picture: Path, out: Path | None, *, overwrite: bool) -> None:
    """Print the faces of a picture in its own pixels, and draw them.

    Args:
        caller: Reaches the server.
        picture: Where to look.
        out: File for the drawing; None names it after the picture, in the current folder.
        overwrite: Whether that file may be there already.

    Raises:
        CommandFailed: The picture cannot be read, the server refuses it, or the drawing cannot be written.
    """
    out = Path(f"{picture.stem}_faces.png") if out is None else out
    check_new([out], overwrite=overwrite)
    data = read_file(picture)
    answer = caller.call(lambda client: client.detect_faces(pb.Image(data=data)))
    boxes = [(one.box.left, one.box.top, one.box.right, one.box.bottom) for one in answer.faces]
    write_file(out, _drawing(picture, data, boxes))
    if caller.as_json:
        print_json(_json_of(answer, boxes, out))
        return
    if boxes:
        caller.results.print(_table(answer, boxes))
        caller.results.print("Pass a number or a box to --scene-face or --character-face.", style="dim")
    else:
        caller.results.print(f"no face found in {picture}", markup=False)
    caller.console.print(f"drawn in {out}", markup=False)


def _drawing(picture: Path, data: bytes, boxes: list[tuple[float, float, float, float]]) -> bytes:
    try:
        drawn = draw_face_boxes(decode_picture(data, TRUSTED), boxes)
    except InvalidPicture as exc:  # the server took it, so its limits are other than those of this version
        raise CommandFailed(f"{picture}: {exc}", ExitCode.REQUEST, code="UNREADABLE_FILE") from exc
    return png_of_drawing(drawn)


def _table(answer: pb.DetectFacesResponse, boxes: list[tuple[float, float, float, float]]) -> Table:
    table = Table("face", "box in pixels", "size", "confidence", "", box=None, pad_edge=False, header_style="dim")
    largest = max(range(len(boxes)), key=lambda index: _area(boxes[index]))
    for index, (face, box) in enumerate(zip(answer.faces, boxes, strict=True)):
        size = f"{box[2] - box[0]:.0f}x{box[3] - box[1]:.0f}"
        default = Text("largest: the default", style="green") if index == largest else ""
        table.add_row(str(index), _box_text(box), size, f"{face.detection_score:.2f}", default)
    return table


def _json_of(
    answer: pb.DetectFacesResponse, boxes: list[tuple[float, float, float, float]], out: Path
) -> dict[str, object]:
    faces = [
        {"index": index, "box": [round(edge, 2) for edge in box], "confidence": round(face.detection_score, 4)}
        for index, (face, box) in enumerate(zip(answer.faces, boxes, strict=True))
    ]
    return {"width": answer.width, "height": answer.height, "faces": faces, "drawing": str(out)}


def _box_text(box: tuple[float, float, float, float]) -> str:
    return ",".join(f"{edge:.0f}" for edge in box)


def _area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
