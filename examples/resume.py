"""Training that is killed twice and resumed shows the same batches and ends with the same losses, bit for bit.

Trains on scikit-learn's digits with Optax; saves parameters, optimiser and the state of the stream with Orbax.
Needs jaxiter[demo] (Orbax comes with Flax).
"""

import multiprocessing
import os
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from sklearn.datasets import load_digits

import jaxiter as jx

NUM_EPOCHS, SAVE_EVERY = 4, 10  # steps
KEY = jax.random.key(0)


def make_loader():
    digits = load_digits()
    augment = jx.Chain(jx.Affine(rotation=10, shift=0.1, zoom=0.1, fill_mode="constant"), jx.Rescale(1 / 16))
    images, labels = digits.images.astype(np.uint8)[..., None], digits.target.astype(np.int32)
    return jx.Loader((images, labels), batch_size=64, augment=augment)


OPTIMIZER = optax.adam(3e-3)


def first_state():
    hidden, output = jax.random.split(KEY)
    params = {
        "hidden": 0.1 * jax.random.normal(hidden, (64, 64)),
        "output": 0.1 * jax.random.normal(output, (64, 10)),
    }
    return {"params": params, "optimizer": OPTIMIZER.init(params)}


@partial(jax.jit, donate_argnums=0)
def train_step(state, batch):
    def loss_fn(params):
        images, labels = batch
        logits = jax.nn.relu(images.reshape(len(images), -1) @ params["hidden"]) @ params["output"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    loss, grads = jax.value_and_grad(loss_fn)(state["params"])
    updates, optimizer = OPTIMIZER.update(grads, state["optimizer"], state["params"])
    return {"params": optax.apply_updates(state["params"], updates), "optimizer": optimizer}, loss


def train(folder, die_at=None):
    """Returns the losses of all steps; those before a checkpoint are restored from it."""
    state, losses = first_state(), np.zeros(0, np.float32)
    with (
        ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(max_to_keep=1)) as checkpoints,
        jx.stream(make_loader(), KEY, num_epochs=NUM_EPOCHS) as batches,
    ):
        if checkpoints.latest_step() is not None:
            target = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
            wanted = ocp.args.Composite(state=ocp.args.StandardRestore(target), stream=ocp.args.JsonRestore())
            saved = checkpoints.restore(checkpoints.latest_step(), args=wanted)
            state, losses = saved["state"], np.array(saved["stream"]["losses"], np.float32)
            batches.set_state(saved["stream"]["position"])
            print(f"resumed at epoch {batches.position[0]}, step {batches.position[1]}", flush=True)
        for batch in batches:
            state, loss = train_step(state, batch)
            losses = np.append(losses, loss)
            if len(losses) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)  # without any clean-up
            if len(losses) % SAVE_EVERY == 0:
                stream = {"position": batches.get_state(), "losses": losses.tolist()}
                saved = ocp.args.Composite(state=ocp.args.StandardSave(state), stream=ocp.args.JsonSave(stream))
                checkpoints.save(len(losses), args=saved)
                checkpoints.wait_until_finished()
    return state, losses


def train_in_a_subprocess(folder, die_at):
    process = multiprocessing.get_context("spawn").Process(target=train, args=(folder, die_at))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, process.exitcode
    print(f"killed in step {die_at}", flush=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        _, expected = train(Path(folder) / "whole")
        for die_at in (37, 64):
            train_in_a_subprocess(Path(folder) / "killed", die_at)
        _, losses = train(Path(folder) / "killed")
    same = np.array_equal(losses.view(np.uint32), expected.view(np.uint32))
    print(f"{len(losses)} losses, from {losses[0]:.3f} to {losses[-1]:.3f}, {'bit-equal' if same else 'DIFFERENT'}")
    return 0 if same and jnp.isfinite(losses).all() else 1


if __name__ == "__main__":
    sys.exit(main())
