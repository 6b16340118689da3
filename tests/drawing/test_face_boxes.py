"""The drawing of a picture's faces."""

import numpy as np

from eacps.drawing import draw_face_boxes


def test_each_box_is_drawn_around_its_face_and_numbered() -> None:
    picture = np.full((200, 300, 3), 120, np.uint8)
    boxes = [(40.0, 60.0, 100.0, 140.0), (180.0, 0.0, 260.0, 90.0)]
    drawn = np.asarray(draw_face_boxes(picture, boxes))
    assert drawn.shape == picture.shape
    changed = (drawn != picture).any(axis=2)
    for left, top, right, bottom in (tuple(int(edge) for edge in box) for box in boxes):
        assert changed[top + 40 : bottom, left].all(), "the left edge"
        assert changed[bottom, left:right].all(), "the lower edge"
        assert not changed[top + 45 : bottom - 8, left + 20 : right - 8].any(), "the face itself stays as it is"
    assert changed[45:58, 42:50].any(), "its number stands above the first"
    assert changed[4:14, 182:190].any(), "and within the second, which touches the edge"
    assert (np.asarray(draw_face_boxes(picture, [])) == picture).all()
