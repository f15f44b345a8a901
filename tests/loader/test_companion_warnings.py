"""What is warned of in leaves that move with an image: boxes that are not those of their pictures, files of others."""

import warnings

import numpy as np
import pytest

from jaxiter import Boxes, Loader, Mask, Ragged, Resize, from_records, image_files

from ..host.pictures import write_folder
from ..ragged_data import noise, ragged

PACKED = ragged([noise((20, 30))] * 4)
MADE_SMALLER = Ragged(PACKED.pixels, PACKED.starts, PACKED.shapes, [(40, 60)] * 4)


def with_boxes(images, boxes, **options):
    data = {"image": images, "boxes": np.asarray(boxes, np.float32)}
    return Loader(data, batch_size=2, augment={"image": Resize(8), "boxes": Boxes("image", **options)})


@pytest.mark.parametrize("images", [MADE_SMALLER, np.zeros((4, 20, 30, 3), np.uint8)], ids=["ragged", "array"])
def test_boxes_of_larger_pictures_are_warned_of(images):
    boxes = [
        [[0, 0, 30, 20], [-1, -1, -1, -1]],
        [[0, 0, 31, 20], [0] * 4],
        [[30, 10, 60, 38], [0, 0, 1, 1]],
        [[0] * 4] * 2,
    ]
    said = r"in 1 of the first 4 examples: in row 2 to \(60, 38\), and the picture of data\['image'\] is 30 wide and 20"
    with pytest.warns(UserWarning, match=said):
        with_boxes(images, boxes)


def test_turned_corners_are_warned_of():
    boxes = [[[1, 1, 5, 5]], [[9, 9, 2, 2]], [[1, 1, 5, 5]], [[5, 1, 4, 2]]]
    with pytest.warns(
        UserWarning, match="in 2 of the first 4 examples, as row 1 has; they are dropped. Is format='xyxy'"
    ):
        with_boxes(MADE_SMALLER, boxes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with_boxes(MADE_SMALLER, boxes, format="xywh")


def test_masks_of_other_names_are_warned_of(tmp_path):
    folders = [write_folder(tmp_path / name, [(20, 30)] * 9, suffixes=[".png"]) for name in ("images", "masks", "odd")]
    (folders[1] / "cat" / "003.png").rename(folders[1] / "cat" / "099.png")
    images, masks = (sorted(map(str, folder.rglob("*.png"))) for folder in folders[:2])
    for file in sorted(folders[2].rglob("*.png")):
        file.rename(file.with_name("mask_" + file.name))
    odd = sorted(map(str, folders[2].rglob("*.png")))

    def loader_of(masks):
        data = image_files(images), image_files(masks, mode="mask")
        return Loader(data, batch_size=2, augment=(Resize(8), Mask(0)))

    said = r"the same names but for 2 of 9: row 1 has '006.png' beside '003.png'. Is one missing"
    with pytest.warns(UserWarning, match=said):
        loader_of(masks)
    loader_of(images)
    loader_of(odd)  # all are called otherwise, by a rule of the user's


def test_channels_that_come_first_are_warned_of():
    with pytest.warns(UserWarning, match=r"looks like \(channels, height, width\)"):
        from_records([(np.zeros((3, 20, 20), np.float32), 0)], ragged=0)
