"""How bench/claims.py asks datarax, whose API changes often: this is that of 0.1.17."""

import json
from itertools import islice as take
from types import SimpleNamespace as Library

import numpy as np
from _claim_setting import BATCH, LARGE, MARKED, SIZE, STEPS, no_such_name, pictures, python_code, values_of, who
from _peers import jax, optional

datarax, nnx = optional("datarax"), optional("flax.nnx")
memory = optional("datarax.sources.memory_source")
rotation = optional("datarax.operators.modality.image.rotation_operator")
core, elements = optional("datarax.core.config"), optional("datarax.operators.element_operator")
batching, array_record = optional("datarax.batching.default_batcher"), optional("datarax.sources.array_record_source")
records = optional("array_record.python.array_record_module")


def memory_source(data, seed=0, **options):
    return memory.MemorySource(memory.MemorySourceConfig(**options), data, rngs=nnx.Rngs(seed))


def rotate(seed, key="image", degrees=30.0):
    options = {"angle_range": (-degrees, degrees), "stochastic": True, "stream_name": "augment"}
    return rotation.RotationOperator(
        rotation.RotationOperatorConfig(field_key=key, **options), rngs=nnx.Rngs(augment=seed)
    )


def pipeline(seed, batch=BATCH, size=SIZE, **options):
    data = {"image": pictures(size).astype(np.float32) / 255, "id": np.arange(size)}
    source = memory_source(data, seed, shuffle=True, **options)
    stages = [rotate(seed)] if size == SIZE else []
    return datarax.Pipeline(source=source, stages=stages, batch_size=batch, rngs=nnx.Rngs(seed), num_epochs=None)


def batches(seed, **options):
    return ((batch["image"], batch["id"]) for batch in pipeline(seed, **options))


def at(epoch, step):
    it = iter(pipeline(0))
    it.set_state({**it.get_state(), "epoch": epoch, "position": step * BATCH})
    batch = next(it)
    return batch["image"], batch["id"]


class Resumable:
    """(values, ids) of a session, and its state."""

    def __init__(self, seed, **options):
        self.session = iter(pipeline(seed, **options))

    def __iter__(self):
        return self

    def __next__(self):
        batch = next(self.session)
        return batch["image"], batch["id"]


def resumed(it, after):
    after.session.set_state(it.session.get_state())
    return after


def epochs():
    both, ids = pipeline(0), lambda batch: batch["id"]
    return [both.scan(ids, length=STEPS), both.scan(ids, length=STEPS)]


def parts(n):
    found = {}
    for part in range(n):
        options = {"num_workers": n, "shard_id": part} if n > 1 else {}
        found |= values_of(list(take(batches(0, batch=BATCH // n, **options), 2))[1])
    return found


def saved():
    it = iter(pipeline(0, batch=128, size=LARGE))
    list(take(it, 256))
    return len(json.dumps(it.get_state()))


def follow():
    """Each operator names one field: here the mask is turned by draws of its own."""
    images, masks, _ = MARKED
    source = memory_source({"image": images, "mask": masks.astype(np.float32)})
    turn = [rotate(0, "image", 90.0), rotate(0, "mask", 90.0)]
    batch = next(iter(datarax.Pipeline(source=source, stages=turn, batch_size=BATCH, rngs=nnx.Rngs(0))))
    return {"masks, by the same seed": (batch["image"], batch["mask"], None)}


def stream_source(stream, spec=()):
    class Stream(datarax.DataSourceModule):
        def get_batch(self, size):
            return {"number": np.asarray(list(take(stream, size)), np.float32)}

        def element_spec(self):
            return {"number": jax.ShapeDtypeStruct(spec, np.float32)}

    return Stream(core.StructuralConfig())


def streamed(stream, batch):
    source = stream_source(stream())
    found = datarax.Pipeline(source=source, stages=[], batch_size=batch, rngs=nnx.Rngs(0))
    return [x["number"] for x in found]


def workers():
    source = stream_source(who() for _ in range(SIZE))
    made = datarax.Pipeline(source=source, stages=[], batch_size=4, rngs=nnx.Rngs(0))
    return [x["number"][0] for x in datarax.prefetch_to_device(iter(made))]


def python(images):
    def change(element, key):
        return element.replace(data={"image": python_code(element.data["image"])})

    operator = elements.ElementOperator(core.ElementOperatorConfig(stochastic=False), change, rngs=nnx.Rngs(0))
    made = datarax.Pipeline(
        source=memory_source({"image": images}), stages=[operator], batch_size=BATCH, rngs=nnx.Rngs(0)
    )
    return next(iter(made))["image"]


def files(folder, paths):
    for writer in (records.ArrayRecordWriter(path, "group_size:1") for path in paths):
        writer.write(b"picture"), writer.close()
    source = array_record.ArrayRecordSourceModule(array_record.ArrayRecordSourceConfig(num_epochs=1), paths)
    return list(source) == [b"picture"] * 2 and "records"


def pads(sequences):
    def whole(rows):
        longest = max(len(row.data["x"]) for row in rows)
        return np.stack([np.pad(row.data["x"], (0, longest - len(row.data["x"]))) for row in rows])

    batcher = batching.DefaultBatcher(batching.DefaultBatcherConfig(stochastic=False), collate_fn=whole)
    from datarax.core.element_batch import Element

    return next(iter(batcher.process([Element(data={"x": row}) for row in sequences], batch_size=4)))


DATARAX = Library(
    modules={"datarax": datarax},
    batches=Resumable,
    at=at,
    resumed=resumed,
    jit=lambda: (
        jax.jit(lambda key: rotate(0).apply({"image": np.ones((6, 6, 1), np.float32)}, {}, {}, key)[0])(
            jax.random.key(0)
        )
        and "yes"
    ),
    epochs=epochs,
    first=lambda seed: pipeline(jax.random.key(seed)).step()["id"],
    parts=parts,
    saved=saved,
    follow=follow,
    rand_augment=lambda: no_such_name(datarax, "rand_?augment"),
    script=lambda: no_such_name(datarax, "ImageDataGenerator"),
    workers=workers,
    python=python,
    files=files,
    tfrecord=lambda path: no_such_name(datarax, "tf_?record"),
    unknown=streamed,
    pads=pads,
)
