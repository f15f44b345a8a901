"""The sheets of colours and of numbers."""

from __future__ import annotations

from _gallery_run import Sheet

COLOUR = (
    Sheet(
        "Brightness",
        """{
    factor: jx.Brightness((factor, factor))
    for factor in (0.2, 0.4, 0.6, 0.8, 1.25, 1.5, 2.0)
}""",
        "The picture times a factor. `jx.Brightness(0.5)` draws one from 0.5 to 1.5.",
        ("astronaut",),
    ),
    Sheet(
        "Contrast",
        """{
    factor: jx.Contrast((factor, factor))
    for factor in (0.0, 0.25, 0.5, 0.75, 1.25, 1.5, 2.0)
}""",
        "The picture blended with its mean grey.",
        ("china",),
    ),
    Sheet(
        "Saturation",
        """{
    factor: jx.Saturation((factor, factor))
    for factor in (0.0, 0.25, 0.5, 0.75, 1.5, 2.0, 3.0)
}""",
        "The picture blended with its grey version.",
        ("coffee",),
    ),
    Sheet(
        "Hue",
        """{
    turns: jx.Hue((turns, turns))
    for turns in (-0.4, -0.25, -0.1, 0.1, 0.25, 0.4, 0.5)
}""",
        "Every colour turned on the circle of colours, by parts of a whole turn.",
        ("flower",),
    ),
    Sheet(
        "ChannelShift",
        """{
    value: jx.ChannelShift((value, value))
    for value in (-90, -60, -30, 30, 60, 90, 120)
}""",
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
        """{
    gamma: jx.Gamma((gamma, gamma))
    for gamma in (0.3, 0.5, 0.7, 0.85, 1.5, 2.0, 3.0)
}""",
        "Every byte to a power: black and white stay, and what lies between becomes lighter or darker.",
        ("rocket",),
    ),
    Sheet(
        "Solarize",
        """{
    threshold: jx.Solarize(threshold)
    for threshold in (0, 50, 100, 150, 200, 230, 256)
}""",
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
        """{
    factor: jx.Sharpness((factor, factor))
    for factor in (0.0, 0.5, 1.5, 2.0, 4.0, 8.0, 16.0)
}""",
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
