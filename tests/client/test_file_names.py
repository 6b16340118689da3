import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from eacps.client.errors import CallFailed
from eacps.client.file_names import fitting, id_in_name, suffix_of

PICTURE = np.zeros((4, 4, 3), np.uint8)


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG")
    return file.getvalue()


def tiff(**options: bool) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, PICTURE, bigtiff=options.get("bigtiff", False))
    return file.getvalue()


def test_suffixes_are_those_of_the_formats() -> None:
    assert [suffix_of(data) for data in (png(), tiff(), tiff(bigtiff=True))] == [".png", ".tif", ".tif"]
    with pytest.raises(ValueError, match="neither PNG"):
        suffix_of(b"GIF89a")


def test_names_get_the_suffix_of_the_picture_where_they_have_that_of_another() -> None:
    names = ("a.png", "b.c/d.TIFF", "e.jpg", "f", "g.v2")
    assert [str(fitting(Path(name), tiff())) for name in names] == ["a.tif", "b.c/d.TIFF", "e.tif", "f", "g.v2"]
    assert str(fitting(Path("x.tif"), png())) == "x.png"


@pytest.mark.parametrize("name", ["../x", "a/b", "", "g0-000\n", "..", "C:x"])
def test_an_id_that_leads_out_of_the_folder_makes_no_name(name: str) -> None:
    assert id_in_name("g0-000") == "g0-000"
    with pytest.raises(CallFailed):
        id_in_name(name)
