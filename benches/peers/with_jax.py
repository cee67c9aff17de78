"""The workloads in JAX.

Forms: `jit`, one call a step with donated state; `scan`, many steps in one compiled `lax.scan`. The
optimizers are the formulas themselves, which XLA fuses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import peer


def forward(task, weights, x):
    for i, (w, b) in enumerate(weights):
        if i:
            x = jax.nn.relu(x) if task.activation == "relu" else jax.nn.gelu(x, approximate=True)
        x = x @ w + b
    return x


def loss_of(task, weights, x, y):
    outputs = forward(task, weights, x)
    if task.loss == "mse":
        return jnp.mean((outputs - y) ** 2)
    logs = jax.nn.log_softmax(outputs)
    return -jnp.mean(jnp.take_along_axis(logs, y[:, None], axis=1))


def update(task, state, gradients):
    """One step of the optimizer on (parameters, first moments, second moments, steps)."""
    p, m, v, t = state
    each, rate = jax.tree.map, task.learning_rate
    if task.optimizer == "sgd":
        return each(lambda p, g: p - rate * g, p, gradients), m, v, t
    (one, two), t = peer.BETAS, t + 1
    m = each(lambda m, g: one * m + (1 - one) * g, m, gradients)
    v = each(lambda v, g: two * v + (1 - two) * g * g, v, gradients)
    first, second = 1 - one**t, 1 - two**t
    decay = 1 - rate * peer.WEIGHT_DECAY if task.optimizer == "adamw" else 1.0

    def one_step(p, m, v):
        return decay * p - rate / first * m / (jnp.sqrt(v / second) + peer.EPSILON)

    return each(one_step, p, m, v), m, v, t


class Jax:
    def __init__(self, form, task, device):
        self.task, self.form, self.at = task, form, 0
        self.device = jax.devices("cpu" if device == "cpu" else "gpu")[0]
        jax.config.update("jax_default_device", self.device)
        put = functools.partial(jax.tree.map, jnp.array)  # copies, since state is donated
        if task.tensors:
            parameters, self.gradients = put(list(task.parameters)), put(list(task.gradients))
        else:
            # [inputs, outputs], as XLA likes it.
            parameters = put([(w.T, b) for w, b in task.weights])
            self.x = jnp.array(task.x)
            self.y = None if task.y is None else jnp.array(task.y)
        if task.predicts:
            self.weights = parameters
            self.predict = jax.jit(functools.partial(forward, task))
            return
        zeros = jax.tree.map(jnp.zeros_like, (parameters, parameters))
        self.state = (parameters, *zeros, jnp.float32(0))
        self.one = jax.jit(self.step, donate_argnums=0)
        self.many = jax.jit(self.steps, donate_argnums=0, static_argnums=4)

    def step(self, state, data, at):
        """A step on the rows at a place of the data, or on the given gradients."""
        task = self.task
        if task.tensors:
            return update(task, state, data), jnp.float32(0)
        x, y = data
        if task.steps > 1:
            x, y = (lax.dynamic_slice_in_dim(a, at * task.batch, task.batch) for a in data)
        loss, gradients = jax.value_and_grad(lambda w: loss_of(task, w, x, y))(state[0])
        return update(task, state, gradients), loss

    def steps(self, state, data, at, passes, count):
        places = (at + jnp.arange(count)) % passes
        state, losses = lax.scan(lambda state, at: self.step(state, data, at), state, places)
        return state, losses[-1]

    def data(self):
        return self.gradients if self.task.tensors else (self.x, self.y)

    def place(self, count=1):
        passes = 1 if self.task.tensors else self.task.steps
        at, self.at = self.at, (self.at + count) % passes
        return at, passes

    def first_losses(self, count):
        losses = []
        for _ in range(count):
            self.state, loss = self.one(self.state, self.data(), self.place()[0])
            losses.append(float(loss))
        return losses

    def updated(self):
        self.state, _ = self.one(self.state, self.data(), 0)
        return np.stack(self.state[0])

    def outputs(self):
        return np.asarray(self.predict(self.weights, self.x))

    def run(self, count):
        if self.task.predicts:
            for _ in range(count):
                self.predict(self.weights, self.x).block_until_ready()
            return
        if self.form == "scan":
            at, passes = self.place(count)
            self.state, loss = self.many(self.state, self.data(), at, passes, count)
        else:
            for _ in range(count):
                self.state, loss = self.one(self.state, self.data(), self.place()[0])
        jax.block_until_ready((self.state, loss))


if __name__ == "__main__":
    peer.main(Jax, jax.__version__)
