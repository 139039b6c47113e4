"""Run training steps in the fastest way that works here: CUDA graphs, compiled kernels, or one operator at a time.

The host needs over 5 ms to launch the 400 kernels of a step of `paper` one by one; an H100 is predicted to run them in
3 ms. A CUDA graph records all of them once, from the first convolution to the optimizer, and the host then starts it
with one call.
"""

from collections import Counter
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

WARM_UP = 3  # ordinary steps before a graph is recorded: libraries choose algorithms, optimizers create their state
TRUSTED_AFTER = 3  # after so many successful steps of one kind, warm-up not counted, failures are no longer caught
Batch = tuple[Tensor, ...]
Key = tuple[tuple[torch.Size, ...], bool]  # the shapes of a batch, and whether Lookahead's slow weights move


class Work(Protocol):
    """The methods and attributes of a learner that a Stepper uses."""

    compiled: bool

    def work(self, images: Tensor, targets: Tensor, rows: Tensor | None = None, /) -> Tensor: ...
    def before_step(self) -> bool: ...
    def count_replayed_step(self) -> None: ...
    def remember(self) -> Callable[[], None]: ...
    def stop_compiling(self) -> None: ...


class Graphs:
    """CUDA graphs of a training step, one for each kind of step.

    A graph works on fixed addresses. Tensors that outlive a step (weights, statistics, optimizer state, totals) must
    not be replaced; after a replacement the graphs have to be dropped.
    """

    def __init__(self):
        self._stream, self._pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
        self._inputs: dict[tuple[torch.Size, ...], Batch] = {}
        self._graphs: dict[Key, tuple[torch.cuda.CUDAGraph, Batch, Tensor]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._graphs

    def warm_up(self, work: Callable[..., Tensor], batch: Batch) -> Tensor:
        """An ordinary step, on the stream for recording, since autograd remembers the stream of each gradient."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            logits = work(*batch)
        current.wait_stream(self._stream)
        return logits

    def record(self, key: Key, work: Callable[..., Tensor], batch: Batch) -> None:
        """Record `work` on copies of the batch; the device does nothing yet."""
        inputs = self._inputs.setdefault(key[0], tuple(tensor.clone() for tensor in batch))
        graph = torch.cuda.CUDAGraph()
        # The outer context comes back from the recording stream, where `graph` stays if the end of a recording fails.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(graph, pool=self._pool, stream=self._stream),
        ):
            logits = work(*inputs)
        self._graphs[key] = graph, inputs, logits

    def replay(self, key: Key, batch: Batch) -> Tensor:
        """Run a recorded step on `batch`; the logits are valid until the next replay."""
        graph, inputs, logits = self._graphs[key]
        for static, tensor in zip(inputs, batch, strict=True):
            static.copy_(tensor, non_blocking=True)
        graph.replay()
        return logits


class Stepper:
    """Runs the steps of a learner; if a fast way fails, it goes on in a simpler one.

    Attributes:
        captures: whether CUDA graphs are used.

    Args:
        learner: runs the steps.
        captures: whether to try CUDA graphs, which need one GPU to itself.
    """

    def __init__(self, learner: Work, captures: bool):
        self._learner, self.captures = learner, captures
        self.forget()

    def forget(self) -> None:
        """Drop all graphs, after tensors that they use were replaced."""
        self._graphs: Graphs | None = None
        self._warm: Counter[tuple[torch.Size, ...]] = Counter()
        self._succeeded: Counter[Key] = Counter()

    def __call__(self, *batch: Tensor) -> Tensor:
        """One step on images, targets and, if their losses are wanted, rows: the logits (n, classes).

        If one of the first steps of its kind fails, the step is taken back and done again in a plainer way. A failure
        inside the optimizer, which may have moved some of the weights, cannot be taken back.
        """
        key = tuple(tensor.shape for tensor in batch), self._learner.before_step()
        plain = not (self.captures or self._learner.compiled)
        if plain or self._succeeded[key] >= TRUSTED_AFTER:
            return self._run(key, batch)
        restore = self._learner.remember()
        try:
            logits = self._run(key, batch)
        except Exception as error:  # compilers and drivers fail in too many ways to name
            if not self._give_up(error):
                raise
        else:
            self._succeeded[key] += self._recording or not self.captures  # steps of a warm-up prove nothing of graphs
            return logits
        restore()  # not in the handler, where the error's frames still hold the memory of the failed step
        return self(*batch)

    def _run(self, key: Key, batch: Batch) -> Tensor:
        self._recording = False
        if not self.captures:
            return self._learner.work(*batch)
        self._graphs = self._graphs or Graphs()
        if self._warm[key[0]] < WARM_UP:
            logits = self._graphs.warm_up(self._learner.work, batch)
            self._warm[key[0]] += 1
            return logits
        self._recording = True
        if key in self._graphs:
            logits = self._graphs.replay(key, batch)
            self._learner.count_replayed_step()
            return logits
        self._graphs.record(key, self._learner.work, batch)  # counts the step
        return self._graphs.replay(key, batch)

    def _give_up(self, error: Exception) -> bool:
        """Give up a fast way after `error` and print that; False if the error has another cause.

        An error of an ordinary step is blamed on compiled kernels if there are any, otherwise on the stream that CUDA
        graphs need. In the simplest way the same error comes again and is raised.
        """
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        out_of_memory = isinstance(error, torch.OutOfMemoryError)
        # Also if memory ran out while a graph was recorded or replayed, since graphs take memory.
        if self._recording or (self.captures and not self._learner.compiled and not out_of_memory):
            self.captures, self._graphs = False, None
            print(f"a CUDA graph of the step failed, so the host launches every kernel ({reason})", flush=True)
            return True
        if self._learner.compiled and not out_of_memory:
            self._learner.stop_compiling()
            self.forget()  # graphs of compiled kernels
            print(f"torch.compile failed, so training goes on without it ({reason})", flush=True)
            return True
        return False
