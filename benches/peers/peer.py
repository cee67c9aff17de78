"""What the peers written in Python share: the workloads, the data, the clock and the answer.

A peer is a program that is called as `PROGRAM FORM WORKLOAD FOLDER DEVICE SECONDS` and prints one
JSON object. It has a class whose instances can do this:

    first_losses(count)   the losses of so many first steps, from the initial weights
    outputs()             predictions, of a workload that only predicts
    run(count)            so many steps, waited for
"""

import json
import os
import resource
import statistics
import sys
import time

import numpy as np
from safetensors.numpy import load_file

W3 = dict(layers=3, activation="relu", loss="cross_entropy", optimizer="adam")
WORKLOADS = {
    "W1": dict(layers=1, activation="relu", loss="mse", optimizer="sgd", batch=100),
    "W2": dict(W3, layers=2, batch=32),
    "W3": dict(W3, batch=128),
    "W4": dict(layers=3, activation="gelu_tanh", loss="mse", optimizer="adamw", batch=512),
    "W7": dict(optimizer="adam", tensors=20, elements=1_000_000, batch=1),
    "W8b1": dict(W3, batch=1, predicts=True),
    "W8b256": dict(W3, batch=256, predicts=True),
    "W9": dict(W3, batch=17),
    "W10": dict(W3, layers=8, batch=96),
    "W11": dict(layers=5, activation="gelu_tanh", loss="mse", optimizer="adamw", batch=96),
}
LEARNING_RATE = {"sgd": 0.01, "adam": 1e-3, "adamw": 1e-3}
WEIGHT_DECAY = 0.01  # of adamw, on every parameter
BETAS, EPSILON = (0.9, 0.999), 1e-8


class Task:
    """A workload with its data and initial weights."""

    def __init__(self, name, folder):
        self.name = name
        vars(self).update(layers=0, loss=None, predicts=False, tensors=0, elements=0)
        vars(self).update(WORKLOADS[name])
        self.learning_rate = LEARNING_RATE[self.optimizer]
        if self.tensors:
            random = np.random.default_rng(1)
            shape = (self.tensors, self.elements)
            self.parameters = random.uniform(-1, 1, shape).astype(np.float32)
            self.gradients = random.uniform(-1, 1, shape).astype(np.float32)
            return
        file = load_file(os.path.join(folder, f"{name}.safetensors"))
        self.x, self.y = file["x"], file.get("y")
        if self.y is not None and self.y.dtype == np.uint32:
            self.y = self.y.astype(np.int64)
        names = [f"dense_{i + 1}" for i in range(self.layers)]
        self.weights = [(file[f"{n}.weight"], file[f"{n}.bias"]) for n in names]
        self.wanted = file["outputs"] if self.predicts else file["losses"]
        self.steps = len(self.x) // self.batch  # in one pass over the data

    def first_update(self):
        """Parameters after Adam's first step: its moments are the gradient and its square."""
        g = self.gradients
        return self.parameters - self.learning_rate * g / (np.abs(g) + EPSILON)


def check(task, peer):
    """Why the results are not ours, or None. The largest difference may be 1e-3 of the largest
    value."""
    if task.tensors:
        got, wanted = peer.updated(), task.first_update()
        # What changes is what matters.
        got, wanted = got - task.parameters, wanted - task.parameters
    elif task.predicts:
        got, wanted = peer.outputs(), task.wanted
    else:
        wanted = task.wanted
        got = np.array(peer.first_losses(len(wanted)))
    difference = float(np.max(np.abs(got - wanted)) / np.max(np.abs(wanted)))
    return None if difference <= 1e-3 else f"results differ from ours by {difference:.1e}"


def measure(peer, budget):
    """Seconds per step of samples of 20 ms at least, after a warm-up."""

    def once(count):
        started = time.perf_counter()
        peer.run(count)
        return time.perf_counter() - started

    count, started = 1, time.perf_counter()
    while True:
        once(count)  # another count may be compiled first
        took = once(count)
        if took < 0.02:
            count = int(count * min(100.0, 0.025 / max(took, 1e-6))) + 1
        elif time.perf_counter() - started > 0.2 * budget:
            break
    samples, started = [], time.perf_counter()
    while len(samples) < 5 or time.perf_counter() - started < budget:
        samples.append(once(count) / count)
    return samples


def main(make, version):
    """Answers the command line with a peer of this class."""
    form, name, folder, device, budget = sys.argv[1:]
    task = Task(name, folder)
    started = time.perf_counter()
    peer = make(form, task, device)
    problem = check(task, peer)
    answer = dict(version=version, first_seconds=time.perf_counter() - started)
    if problem:
        answer["problem"] = problem
    else:
        answer["seconds_per_step"] = statistics.median(measure(peer, float(budget)))
    answer["peak_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(answer))
