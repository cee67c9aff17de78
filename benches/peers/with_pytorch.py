"""The workloads in PyTorch.

Forms: `eager`; `compile`, the model and the loss through torch.compile; `compile-overhead` and
`compile-max` with its modes `reduce-overhead` and `max-autotune`; `graph`, a whole step captured by
hand as a CUDA graph, with a capturable optimizer. All use the fused optimizers."""

import os

import torch
from torch.nn import functional as F

import peer

MODES = {"compile": None, "compile-overhead": "reduce-overhead", "compile-max": "max-autotune"}


class Pytorch:
    def __init__(self, form, task, device):
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        self.task, self.device, self.at = task, torch.device(device), 0
        self.captured = form == "graph"
        if task.tensors:
            self.tensors = [self.put(p).requires_grad_() for p in task.parameters]
            for tensor, gradient in zip(self.tensors, task.gradients):
                tensor.grad = self.put(gradient)
        else:
            self.x = self.put(task.x)
            self.y = None if task.y is None else self.put(task.y)
            self.model = self.build()
            self.tensors = list(self.model.parameters())
        self.optimizer = self.make_optimizer()
        self.loss_of = self.forward
        if form in MODES and not task.tensors:
            self.loss_of = torch.compile(self.forward, mode=MODES[form])
        self.step = self.step_eagerly
        if self.captured:
            self.capture()

    def put(self, array):
        return torch.tensor(array, device=self.device)  # a copy, also on the CPU

    def build(self):
        layers = []
        for i, (weight, bias) in enumerate(self.task.weights):
            if i:
                relu = self.task.activation == "relu"
                layers.append(torch.nn.ReLU() if relu else torch.nn.GELU(approximate="tanh"))
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))
            layers.append(layer)
        return torch.nn.Sequential(*layers).to(self.device)

    def make_optimizer(self):
        task, more = self.task, dict(fused=True)
        if task.optimizer == "sgd":
            return torch.optim.SGD(self.tensors, lr=task.learning_rate, **more)
        more.update(lr=task.learning_rate, betas=peer.BETAS, eps=peer.EPSILON)
        if self.captured:
            more["capturable"] = True
        if task.optimizer == "adam":
            return torch.optim.Adam(self.tensors, **more)
        return torch.optim.AdamW(self.tensors, weight_decay=peer.WEIGHT_DECAY, **more)

    def forward(self, x, y):
        outputs = self.model(x)
        return F.mse_loss(outputs, y) if self.task.loss == "mse" else F.cross_entropy(outputs, y)

    def batch(self):
        rows, start = self.task.batch, self.at % self.task.steps * self.task.batch
        self.at += 1
        return self.x[start : start + rows], self.y[start : start + rows]

    def step_eagerly(self, x, y):
        loss = self.loss_of(x, y)
        self.optimizer.zero_grad(set_to_none=not self.captured)
        loss.backward()
        self.optimizer.step()
        return loss

    def capture(self):
        """Warms up on a side stream, puts everything back, and captures a step."""
        task = self.task
        kept = [tensor.detach().clone() for tensor in self.tensors]
        if task.tensors:
            body = self.optimizer.step
        else:
            self.inputs = [tensor.clone() for tensor in self.batch()]
            self.at = 0
            body = lambda: self.step_eagerly(*self.inputs)  # noqa: E731
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                body()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = body()
        with torch.no_grad():
            for tensor, old in zip(self.tensors, kept):
                tensor.copy_(old)
            for state in self.optimizer.state.values():
                for value in state.values():
                    value.zero_()
        self.step = self.replay

    def replay(self, x, y):
        for held, new in zip(self.inputs, (x, y)):
            held.copy_(new)
        self.graph.replay()
        return self.loss

    def first_losses(self, count):
        return [float(self.step(*self.batch())) for _ in range(count)]

    def updated(self):
        self.run(1)
        return torch.stack([tensor.detach() for tensor in self.tensors]).cpu().numpy()

    def outputs(self):
        with torch.inference_mode():
            return self.model(self.x).cpu().numpy()

    def run(self, count):
        task = self.task
        for _ in range(count):
            if task.tensors:
                self.graph.replay() if self.captured else self.optimizer.step()
            elif task.predicts:
                self.outputs()
            else:
                self.step(*self.batch())
        if self.device.type == "cuda":
            torch.cuda.synchronize()


if __name__ == "__main__":
    peer.main(Pytorch, torch.__version__)
