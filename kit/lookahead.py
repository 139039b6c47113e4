"""Lookahead: k steps of any torch optimizer, then one step back towards the weights they started from.

The module stands alone: it needs torch and nothing of the kit.
"""

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real

import torch
from torch import Tensor

PULLBACKS = ("none", "reset", "pullback")
MOMENTUM_NAMES = ("momentum_buffer", "exp_avg")  # of SGD, RMSprop and Muon; of Adam and its relatives
SETTINGS = ("k", "alpha", "pullback_momentum", "counter")


class Lookahead(torch.optim.Optimizer):
    """An optimizer with the slow weights of Lookahead (Zhang, Lucas, Hinton, Ba 2019, arXiv:1907.08610).

    The inner optimizer moves the parameters, the fast weights. After each k-th of its steps the slow weights
    go the part alpha of the way to them, `slow += alpha * (fast - slow)`, and the fast weights go on from
    there. The slow weights exist from construction on and are the one extra copy of the weights in memory.

    It stands wherever the inner optimizer would: schedulers, GradScaler and hooks are given the Lookahead.
    `param_groups` are the inner optimizer's own. A step that GradScaler skips is not one of the k.

    Weights that somebody else sets are followed. A cycle of k steps begins by copying the parameters to the
    slow weights, which changes nothing unless a model was loaded or moved in between. Within a cycle, torch's
    version counters of the parameters tell of a write outside of `step`, and the cycle begins anew, with a
    warning; whoever projects or clips weights at every step does it in a step hook of the inner optimizer.
    After `load_state_dict` its slow weights stand until the next step, so that model and optimizer may be
    loaded in either order.

    Args:
        optimizer: The inner optimizer, with at least one parameter.
        k: Inner steps to a step of the slow weights, 1 or more.
        alpha: Step of the slow weights, 0 to 1; 1 leaves the inner optimizer to itself.
        pullback_momentum: What becomes of the inner momentum (SGD's buffer, Adam's first moment) after the k
            steps: "none" keeps it, "reset" zeroes it, "pullback" moves a slow momentum, zero at first, as the
            slow weights move, at the cost of another copy. Without momentum nothing is pulled back.

    Raises:
        TypeError: `optimizer` is not a torch optimizer.
        ValueError: A setting is out of its range, or there is no parameter.
    """

    optimizer: torch.optim.Optimizer
    k: int
    alpha: float
    pullback_momentum: str
    counter: int  # inner steps since the slow weights last moved
    _versions: dict[Tensor, int]
    _at_slow_weights: bool
    _prepared: bool

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        k: int = 5,
        alpha: float = 0.5,
        pullback_momentum: str = "none",
    ):
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"Lookahead wraps an instance of torch.optim.Optimizer, not {optimizer!r}")
        if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
            raise ValueError(f"k, the number of inner steps, must be a whole number, 1 or more, not {k!r}")
        if not isinstance(alpha, Real) or isinstance(alpha, bool) or not 0 <= alpha <= 1:
            raise ValueError(f"alpha, the step of the slow weights, must be from 0 to 1, not {alpha!r}")
        if pullback_momentum not in PULLBACKS:
            raise ValueError(f"pullback_momentum must be one of {PULLBACKS}, not {pullback_momentum!r}")
        if not any(group["params"] for group in optimizer.param_groups):
            raise ValueError("Lookahead got an optimizer with an empty parameter list")
        self.optimizer = optimizer
        self.k, self.alpha, self.pullback_momentum = int(k), float(alpha), pullback_momentum
        self.counter = 0
        self._versions = {}
        self._at_slow_weights = self._prepared = False
        # The base class empties `param_groups` and adds each group again, which takes the slow weights.
        super().__init__(optimizer.param_groups, optimizer.defaults)

    @property
    def param_groups(self) -> list[dict]:
        """The inner optimizer's own groups: a list kept here would go stale when it loads a state."""
        return self.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, groups: list[dict]) -> None:
        self.optimizer.param_groups = groups

    def add_param_group(self, param_group: dict) -> None:
        """Add a group to the inner optimizer; its slow weights start from its parameters as they are."""
        self._require_fast_weights()
        self.optimizer.add_param_group(param_group)
        self._take_slow_weights(self.param_groups[-1]["params"])

    @torch.compiler.disable  # Dynamo guards no attribute of an optimizer: it would take counter for constant
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make an inner step and, after the k-th, one of the slow weights; return what the inner one returns.

        Args:
            closure: Evaluates the model again and returns the loss, for inner optimizers that need it.
        """
        if not self._prepared:
            self.prepare_step()
        inner_step: Callable[..., float | None] = self.optimizer.step
        loss = inner_step(closure)
        self.counter += 1
        if self.counter >= self.k:
            self._synchronize()
        self._note_versions(self._parameters())
        self._prepared = False
        return loss

    @property
    def ends_cycle(self) -> bool:
        """Whether the next step is the last of its cycle, in which the slow weights move."""
        return self.counter + 1 >= self.k

    def prepare_step(self) -> None:
        """Do the host's part of the next `step` now; `step` does it by itself if this was not called.

        A CUDA graph that records `step` after this call holds the device's part alone. Record one graph of a step
        that ends a cycle and one of any other; before each replay call this, choose the graph by `ends_cycle`, and call
        `count_replayed_step` afterwards.
        """
        self._require_fast_weights()
        self._follow_parameters()
        self._prepared = True

    def count_replayed_step(self) -> None:
        """Count a step that a CUDA graph has run."""
        self.counter = 0 if self.ends_cycle else self.counter + 1
        self._prepared = False

    @torch.no_grad()
    def _synchronize(self) -> None:
        parameters = self._parameters()
        slow = [self.state[parameter]["slow"] for parameter in parameters]
        torch._foreach_lerp_(slow, parameters, self.alpha)
        torch._foreach_copy_(parameters, slow)
        self.counter = 0
        if self.pullback_momentum != "none":
            self._pull_momentum_back(parameters)

    def _pull_momentum_back(self, parameters: list[Tensor]) -> None:
        inner = {parameter: self.optimizer.state.get(parameter, {}) for parameter in parameters}
        momentum = {p: inner[p][name] for p in inner for name in MOMENTUM_NAMES if inner[p].get(name) is not None}
        fast = list(momentum.values())
        if self.pullback_momentum == "pullback" and fast:
            slow = [self.state[p].setdefault("slow_momentum", torch.zeros_like(m)) for p, m in momentum.items()]
            torch._foreach_lerp_(slow, fast, self.alpha)
            torch._foreach_copy_(fast, slow)
        elif fast:
            torch._foreach_zero_(fast)

    @contextmanager
    def slow_weights(self) -> Iterator[None]:
        """Hold the slow weights in the parameters, and put the fast ones back afterwards, come what may.

        Evaluate AND save the model inside: then what is reported is what the saved model predicts. The running
        statistics of BatchNorm stay as they stand, inside and out, and are saved with the very weights they were
        evaluated with: they average over more steps than the slow weights are behind. Recalculating them gains
        something early in training, with the bare optimizer too, and nothing at the end of it
        (tests/benchmarks/lookahead_digits.py prints the figures).

        Nested use is free of effect. Contents are swapped tensor by tensor, so that only one tensor at a time
        is held thrice. Inside, a step, `state_dict` or pickling of the optimizer raises RuntimeError.
        """
        if self._at_slow_weights:
            yield
            return
        self._follow_parameters()
        self._swap()
        self._at_slow_weights = True
        try:
            yield
        finally:
            self._at_slow_weights = False
            self._swap()
            self._note_versions(list(self._versions))

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter in self._parameters():
            slow = self.state[parameter]["slow"]
            fast = parameter.clone()
            parameter.copy_(slow)
            slow.copy_(fast)

    def _follow_parameters(self) -> None:
        parameters = self._parameters()
        if self.counter and any(p._version != self._versions.get(p, p._version) for p in parameters):
            message = "Parameters were changed outside of the optimizer's step: Lookahead begins anew from them."
            warnings.warn(message, stacklevel=4)
            self.counter = 0
        if self.counter == 0:
            self._take_slow_weights(parameters)

    @torch.no_grad()
    def _take_slow_weights(self, parameters: list[Tensor]) -> None:
        for p in parameters:
            slow = self.state[p].get("slow")
            if slow is None or (slow.device, slow.dtype) != (p.device, p.dtype):
                self.state[p]["slow"] = torch.empty_like(p)
        if parameters:
            torch._foreach_copy_([self.state[p]["slow"] for p in parameters], parameters)
        self._note_versions(parameters)

    def _note_versions(self, parameters: Iterable[Tensor]) -> None:
        self._versions.update({parameter: parameter._version for parameter in parameters})

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _require_fast_weights(self) -> None:
        if self._at_slow_weights:
            raise RuntimeError("leave slow_weights() first: the parameters hold the slow weights")

    def state_dict(self) -> dict:
        """What a resumed run needs: slow weights (by index), inner state, settings and counter.

        `torch.load(weights_only=True)` reads it. Save the model's fast weights with it: outside of
        `slow_weights()`.
        """
        self._require_fast_weights()
        self._follow_parameters()
        inner = {"inner": self.optimizer.state_dict(), "inner_class": type(self.optimizer).__name__}
        return super().state_dict() | inner | {"lookahead": {name: getattr(self, name) for name in SETTINGS}}

    def load_state_dict(self, state_dict: dict) -> None:
        """Restore a `state_dict`, cast to the device and dtype of the parameters and shared with nothing.

        Raises:
            ValueError: It is not Lookahead's, or of another inner optimizer, other groups or other shapes;
                nothing has been changed then.
        """
        self._require_fast_weights()
        self._check_fits(state_dict)
        state_dict = copy.deepcopy(state_dict)  # torch would keep the very tensors that need no cast
        self.optimizer.load_state_dict(state_dict["inner"])
        vars(self).update(state_dict["lookahead"])
        super().load_state_dict(state_dict)

    def _check_fits(self, state_dict: dict) -> None:
        if not {"state", "param_groups", "inner", "inner_class", "lookahead"} <= state_dict.keys():
            raise ValueError("the state_dict is not Lookahead's; a bare optimizer loads its own before wrapping")
        saved, own = state_dict["inner_class"], type(self.optimizer).__name__
        if saved != own:
            raise ValueError(f"the state_dict is of Lookahead around {saved}, not around {own}")
        saved_shapes = [tuple(state["slow"].shape) for _, state in sorted(state_dict["state"].items())]
        shapes = [tuple(parameter.shape) for parameter in self._parameters()]
        if saved_shapes != shapes:
            raise ValueError(f"the state_dict is of parameters of shapes {saved_shapes}, not {shapes}: another model")

    def __getstate__(self) -> dict:
        self._require_fast_weights()
        self._follow_parameters()
        return {name: getattr(self, name) for name in ("optimizer", "defaults", "state", *SETTINGS)}

    def __setstate__(self, state: dict) -> None:
        # The base class also comes here when it loads, with groups: those are the inner optimizer's to load.
        super().__setstate__({name: value for name, value in state.items() if name != "param_groups"})
        self._at_slow_weights = self._prepared = False
        self._versions = {}  # what is written to the parameters before the next step belongs to the restoring

    def __repr__(self) -> str:
        settings = f"k={self.k}, alpha={self.alpha}, pullback_momentum={self.pullback_momentum!r}"
        return f"Lookahead({settings}, optimizer={self.optimizer!r})"
