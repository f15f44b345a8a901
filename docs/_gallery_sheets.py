"""What the gallery shows: the sections, and the call of every sheet as the text that is evaluated."""

from __future__ import annotations

from typing import NamedTuple

from _gallery_colours import COLOUR, VALUES
from _gallery_photos import NAMES
from _gallery_run import Sheet


class Section(NamedTuple):
    name: str
    title: str
    text: str
    sheets: tuple[Sheet, ...]


GEOMETRY = (
    Sheet(
        "Affine",
        "jx.Affine(rotation=20, shift=0.1, shear=10, zoom=0.2, horizontal_flip=True)",
        "Rotation, shift, shear, zoom and flips at once, by one matrix and one resampling.",
        ("coffee",),
    ),
    Sheet(
        "One option of Affine at a time",
        """{
    "rotation": jx.Affine(rotation=(20, 20)),
    "shift": jx.Affine(shift=((0.2, 0.2), (0.1, 0.1))),
    "shear": jx.Affine(shear=(20, 20)),
    "zoom 1.5": jx.Affine(zoom=(1.5, 1.5)),
    "zoom 0.6": jx.Affine(zoom=(0.6, 0.6)),
    "horizontal_flip": jx.Affine(horizontal_flip=1.0),
    "vertical_flip": jx.Affine(vertical_flip=1.0),
}""",
        "A range of one point, such as `(20, 20)`, is not random. What lies outside is the nearest pixel, unless "
        "`fill_mode` says something else.",
        ("astronaut",),
    ),
    Sheet(
        "RandomResizedCrop",
        "jx.RandomResizedCrop((162, 216), scale=(0.1, 1.0))",
        "A window of random area and ratio, brought to one size.",
        ("cat",),
    ),
    Sheet(
        "RandomCrop",
        "jx.RandomCrop((162, 216), padding=40)",
        "A window at a random place of the padded picture, pixel for pixel.",
        ("china",),
    ),
    Sheet(
        "CenterCrop",
        "jx.CenterCrop(100)",
        "The window in the middle, pixel for pixel.",
        ("astronaut", "cat", "coffee", "flower"),
    ),
    Sheet(
        "Resize",
        '{mode: jx.Resize(162, mode=mode) for mode in ("squash", "crop", "pad")}',
        "To one size, here a square: by squashing, by cutting, or with borders.",
        ("astronaut",),
    ),
)

BORDERS = (
    Sheet(
        "Fill modes",
        """{
    mode: jx.Affine(
        rotation=(20, 20), shift=((0.1, 0.1), (0.25, 0.25)), zoom=(0.6, 0.6), fill_mode=mode
    )
    for mode in ("nearest", "constant", "reflect", "wrap", "mirror", "grid-wrap")
}""",
        "What is shown where the picture ends. The names are SciPy's; `constant` fills with `cval`. `wrap` lets the "
        "first and the last pixel share a place, `grid-wrap` repeats the whole picture; `reflect` shows the outermost "
        "pixel twice, `mirror` once.",
        ("cat",),
    ),
    Sheet(
        "Orders",
        '{f"order {order}": jx.Affine(zoom=(9, 9), order=order) for order in range(6)}',
        "How pixels between pixels are found, in the middle of the flower, nine times enlarged: the nearest one, "
        "linear, and splines of degree 2 to 5.",
        ("flower",),
    ),
)

MIXING = (
    Sheet(
        "Erase",
        "jx.Erase(1.0, scale=(0.05, 0.3), value=127)",
        "Random erasing: a rectangle of random area and ratio.",
        ("cat",),
    ),
    Sheet(
        "Cutout",
        "jx.Cutout(70)",
        "A square with its centre anywhere in the picture, cut off at the border.",
        ("china",),
    ),
    Sheet(
        "mixup",
        "jx.mixup(key, images, labels, alpha=1.0, num_classes=6)",
        "Every picture of a batch blended with another one, labels alike.",
        NAMES,
        columns=3,
    ),
    Sheet(
        "cutmix",
        "jx.cutmix(key, images, labels, alpha=1.0, num_classes=6)",
        "A rectangle of every picture from another one; labels weigh the areas.",
        NAMES,
        columns=3,
    ),
)

POLICIES = (
    *(
        Sheet(
            title,
            f"jx.RandAugment(num_ops=2, magnitude={magnitude})",
            note,
            (photo,),
            draws=11,
            key="jax.random.key(1)",
        )
        for title, magnitude, photo, note in (
            (
                "RandAugment",
                9,
                "astronaut",
                "Two of 14 operations for each picture, of the usual strength. Here the key is `jax.random.key(1)`: of "
                "the first eleven epochs of key 0 six solarize, by chance, where 14 of 100 do on average.",
            ),
            ("RandAugment, weak", 3, "cat", "The same draws at magnitude 3."),
            ("RandAugment, strong", 20, "coffee", "The same draws at magnitude 20 of 30."),
        )
    ),
    Sheet(
        "TrivialAugment",
        "jx.TrivialAugment()",
        "One operation for each picture, of any strength; this is wider than RandAugment.",
        ("china",),
        draws=11,
    ),
    Sheet(
        "OneOf",
        "jx.OneOf(jx.Blur(3), jx.Solarize(128), jx.Affine(rotation=40))",
        "One of some transforms for each picture.",
        ("flower",),
    ),
    Sheet(
        "Sometimes",
        "jx.Sometimes(0.5, jx.Affine(rotation=(180, 180)))",
        "A transform for a share of the pictures; the others stay.",
        ("rocket",),
        draws=7,
    ),
    Sheet(
        "Chain",
        """jx.Chain(
    jx.RandomResizedCrop((162, 216), scale=(0.3, 1.0)),
    jx.Affine(horizontal_flip=True, rotation=10),
    jx.ColorJitter(0.3, 0.3, 0.3),
    jx.Erase(0.5),
)""",
        "Steps one after the other; geometry that stands together is resampled once.",
        ("astronaut",),
    ),
)

_MOVED = "jx.Affine(rotation=25, shift=0.1, zoom=0.2, horizontal_flip=True)"

COMPANIONS = (
    Sheet(
        "Masks, boxes and points together",
        f"""{{
    "image": {_MOVED},
    "mask": jx.Mask("image", cval=0),
    "boxes": jx.Boxes("image", min_visible=0.3),
    "points": jx.Points("image"),
}}""",
        "All leaves of an example follow the map that was drawn for its image. A moved box is the box around the moved "
        "corners.",
        ("astronaut", "cat", "coffee", "rocket"),
        draws=3,
    ),
    Sheet(
        "Mask",
        """{
    "image": jx.RandomResizedCrop((162, 216), scale=(0.2, 1.0)),
    "mask": jx.Mask("image"),
}""",
        "Labels of the pixels, each from the nearest one. This mask was found by its colour.",
    ),
    Sheet(
        "Boxes",
        """{
    "image": jx.RandomResizedCrop((162, 216), scale=(0.3, 1.0)),
    "boxes": jx.Boxes("image", clip=True, min_visible=0.3),
}""",
        "Clipped to the picture; a box of which less than 0.3 is left goes.",
        ("coffee",),
    ),
    Sheet(
        "Points",
        """{
    "image": jx.Chain(
        jx.Affine(rotation=30, shear=15, horizontal_flip=True),
        jx.ColorJitter(0.4, 0.4, 0.4),
    ),
    "points": jx.Points("image"),
}""",
        "Eyes and nose stay where they belong; colours move nothing.",
        ("cat",),
    ),
    Sheet(
        "Views",
        """jx.Views(
    jx.Chain(
        jx.RandomResizedCrop((162, 216), scale=(0.2, 0.7)),
        jx.ColorJitter(0.4, 0.4, 0.4, 0.1),
    ),
    2,
)""",
        "Several looks at each example, each with draws of its own, for training that compares them.",
        ("astronaut", "cat", "coffee", "flower"),
        draws=1,
    ),
    Sheet(
        "Frames",
        """jx.Frames(
    jx.Chain(
        jx.Affine(rotation=20, zoom=0.2, horizontal_flip=True),
        jx.ColorJitter(0.4, 0.4, 0.4, 0.2),
    )
)""",
        "One draw for all frames of a clip, here of a camera that moves to the right.",
        ("clip",),
        draws=3,
    ),
)

SECTIONS = (
    Section("geometry", "Geometry", "One matrix for each picture, and one resampling.", GEOMETRY),
    Section("borders", "Borders and interpolation", "Two options that all geometry shares.", BORDERS),
    Section(
        "colour",
        "Colour",
        "Where a sheet shows fixed strengths, each is a range of one point; from a wider range a number is drawn "
        "for each picture.",
        COLOUR,
    ),
    Section("policies", "Policies and choice", "Which transforms act is drawn, too.", POLICIES),
    Section("mixing", "Rectangles and mixing", "Parts of a picture are lost, or come from another one.", MIXING),
    Section("companions", "Masks, boxes, points, views and frames", "What moves with a picture.", COMPANIONS),
    Section("values", "Numbers", "What a network gets need not lie from 0 to 255.", VALUES),
)
