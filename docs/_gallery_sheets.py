"""What the gallery shows: the sections, and the call of every sheet as the text that is evaluated."""

from __future__ import annotations

from typing import NamedTuple

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
    mode: jx.Affine(rotation=(20, 20), shift=((0.1, 0.1), (0.25, 0.25)), zoom=(0.6, 0.6), fill_mode=mode)
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

COLOUR = (
    Sheet(
        "Brightness",
        "{factor: jx.Brightness((factor, factor)) for factor in (0.2, 0.4, 0.6, 0.8, 1.25, 1.5, 2.0)}",
        "The picture times a factor. `jx.Brightness(0.5)` draws one from 0.5 to 1.5.",
        ("astronaut",),
    ),
    Sheet(
        "Contrast",
        "{factor: jx.Contrast((factor, factor)) for factor in (0.0, 0.25, 0.5, 0.75, 1.25, 1.5, 2.0)}",
        "The picture blended with its mean grey.",
        ("china",),
    ),
    Sheet(
        "Saturation",
        "{factor: jx.Saturation((factor, factor)) for factor in (0.0, 0.25, 0.5, 0.75, 1.5, 2.0, 3.0)}",
        "The picture blended with its grey version.",
        ("coffee",),
    ),
    Sheet(
        "Hue",
        "{turns: jx.Hue((turns, turns)) for turns in (-0.4, -0.25, -0.1, 0.1, 0.25, 0.4, 0.5)}",
        "Every colour turned on the circle of colours, by parts of a whole turn.",
        ("flower",),
    ),
    Sheet(
        "ChannelShift",
        "{value: jx.ChannelShift((value, value)) for value in (-90, -60, -30, 30, 60, 90, 120)}",
        "A number added to all pixels and channels.",
        ("rocket",),
    ),
    Sheet(
        "ColorJitter",
        "jx.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)",
        "The four together, in this order.",
        ("china",),
    ),
    Sheet("Grayscale", "jx.Grayscale(0.5)", "Without colour, with a probability.", ("coffee",), draws=3),
    Sheet(
        "Gamma",
        "{gamma: jx.Gamma((gamma, gamma)) for gamma in (0.3, 0.5, 0.7, 0.85, 1.5, 2.0, 3.0)}",
        "Every byte to a power: black and white stay, and what lies between becomes lighter or darker.",
        ("rocket",),
    ),
    Sheet(
        "Solarize",
        "{threshold: jx.Solarize(threshold) for threshold in (0, 50, 100, 150, 200, 230, 256)}",
        "Bytes at or above a threshold inverted.",
        ("cat",),
    ),
    Sheet(
        "Posterize",
        "{bits: jx.Posterize(bits) for bits in (1, 2, 3, 4, 5, 6, 7)}",
        "So many upper bits of every byte; the others are 0.",
        ("flower",),
    ),
    Sheet("Invert", "jx.Invert()", "255 minus every byte.", ("astronaut", "cat", "coffee", "flower")),
    Sheet(
        "AutoContrast",
        "jx.AutoContrast()",
        "Each channel stretched to all bytes from 0 to 255. Photographs that reach both ends already hardly change.",
        ("cat", "rocket", "flower", "china"),
    ),
    Sheet(
        "Equalize",
        "jx.Equalize()",
        "Each channel so that all bytes are about as frequent.",
        ("cat", "rocket", "flower", "china"),
    ),
    Sheet(
        "Sharpness",
        "{factor: jx.Sharpness((factor, factor)) for factor in (0.0, 0.5, 1.5, 2.0, 4.0, 8.0, 16.0)}",
        "The picture blended with a smooth one, or pushed away from it.",
        ("cat",),
    ),
    Sheet(
        "Blur",
        "{sigma: jx.Blur(sigma) for sigma in (0.5, 1, 1.5, 2, 3, 5, 8)}",
        "A Gaussian blur, of a sigma in pixels. `jx.Blur((0, 3))` draws sigma for each picture.",
        ("astronaut",),
    ),
    Sheet(
        "Noise",
        "{std: jx.Noise(std) for std in (5, 10, 20, 30, 40, 60, 80)}",
        "A normal number added to every pixel and channel.",
        ("coffee",),
    ),
)

VALUES = (
    Sheet(
        "Rescale",
        "jx.Rescale(1 / 255)",
        "Times a fixed number. The results lie from 0 to 1 and are shown so, and so they look alike.",
        ("astronaut", "cat", "coffee", "flower"),
        range=(0, 1),
    ),
    Sheet(
        "Normalize",
        "jx.Normalize((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))",
        "Minus a mean, divided by a deviation, channel by channel; the same numbers for all pictures. "
        "Shown from -2.5 to 2.5.",
        ("rocket", "cat", "coffee", "china"),
        range=(-2.5, 2.5),
    ),
    Sheet(
        "SamplewiseNormalize",
        "jx.SamplewiseNormalize()",
        "Each picture by its own mean and deviation: dark and light ones become alike. Shown from -2.5 to 2.5.",
        ("rocket", "cat", "coffee", "china"),
        range=(-2.5, 2.5),
    ),
    Sheet(
        "Whiten",
        """statistics = jx.fit_statistics(patches, zca=True, epsilon=3000)
jx.Chain(jx.Normalize(statistics.mean), jx.Whiten(statistics.whitening))""",
        "ZCA of small patches, 16 x 16 pixels: neighbouring pixels no longer say the same, and edges are left. "
        "Shown from -0.6 to 0.6.",
        ("patches",),
        columns=8,
        range=(-0.6, 0.6),
    ),
    Sheet("Clip", "jx.Clip(60, 160)", "Numbers cut off at two bounds.", ("astronaut", "cat", "coffee", "flower")),
    Sheet(
        "Cast",
        'jx.Chain(jx.Rescale(1 / 64), jx.Cast("uint8"))',
        "To another type: to integers it rounds and clips. Here to the whole numbers 0 to 4, shown from 0 to 4.",
        ("astronaut", "cat", "coffee", "flower"),
        range=(0, 4),
    ),
    Sheet(
        "Map",
        "jx.Map(lambda image: image[..., ::-1])",
        "A function of yours, here one that turns RGB into BGR.",
        ("astronaut", "cat", "coffee", "flower"),
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
    jx.RandomResizedCrop((162, 216), scale=(0.3, 1.0)), jx.Affine(horizontal_flip=True, rotation=10),
    jx.ColorJitter(0.3, 0.3, 0.3), jx.Erase(0.5),
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
    "mask": jx.Mask("image", cval=0), "boxes": jx.Boxes("image", min_visible=0.3), "points": jx.Points("image"),
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
    "image": jx.Chain(jx.Affine(rotation=30, shear=15, horizontal_flip=True), jx.ColorJitter(0.4, 0.4, 0.4)),
    "points": jx.Points("image"),
}""",
        "Eyes and nose stay where they belong; colours move nothing.",
        ("cat",),
    ),
    Sheet(
        "Views",
        "jx.Views(jx.Chain(jx.RandomResizedCrop((162, 216), scale=(0.2, 0.7)), jx.ColorJitter(0.4, 0.4, 0.4, 0.1)), 2)",
        "Several looks at each example, each with draws of its own, for training that compares them.",
        ("astronaut", "cat", "coffee", "flower"),
        draws=1,
    ),
    Sheet(
        "Frames",
        """jx.Frames(
    jx.Chain(jx.Affine(rotation=20, zoom=0.2, horizontal_flip=True), jx.ColorJitter(0.4, 0.4, 0.4, 0.2))
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
