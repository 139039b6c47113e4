"""Deliberately broken copies of Lookahead, each with one defect known from a public implementation."""

from collections import defaultdict
from contextlib import contextmanager

import torch

from kit.lookahead import Lookahead


class TakesSlowWeightsAtTheFirstSynchronisation(Lookahead):
    def _synchronize(self):
        if not hasattr(self, "started"):
            self._take_slow_weights(self._parameters())
        self.started = True
        super()._synchronize()


class StartsSlowWeightsAtZero(Lookahead):
    def _take_slow_weights(self, parameters):
        super()._take_slow_weights(parameters)
        for parameter in parameters:
            self.state[parameter]["slow"].zero_()


class SynchronisesAfterTheFirstStep(Lookahead):
    def __init__(self, optimizer, k):
        super().__init__(optimizer, k)
        self.counter = k - 1


class HasPeriodKPlusOne(Lookahead):
    def __init__(self, optimizer, k):
        super().__init__(optimizer, k + 1)


class ReturnsEarlyWithAClosure(Lookahead):
    def step(self, closure=None):
        return super().step() if closure is None else self.optimizer.step(closure)


class SavesTheInnerStateOnly(Lookahead):
    def state_dict(self):
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict):
        self.optimizer.load_state_dict(state_dict)


class ForgetsTheCounter(Lookahead):
    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.counter = 0


class KeysItsStateByIdentity(Lookahead):
    def state_dict(self):
        return super().state_dict() | {"state": {id(parameter): s for parameter, s in self.state.items()}}

    def load_state_dict(self, state_dict):
        self.state = {parameter: state_dict["state"][id(parameter)] for parameter in self._parameters()}


class KeysItsStateByParameter(Lookahead):
    def state_dict(self):
        return super().state_dict() | {"state": dict(self.state)}

    def load_state_dict(self, state_dict):
        self.state = {parameter: state_dict["state"][parameter] for parameter in self._parameters()}


class ZeroGradTakesNothing(Lookahead):
    def zero_grad(self):
        self.optimizer.zero_grad()


class HasNoDefaults(Lookahead):
    def __init__(self, optimizer, k):
        super().__init__(optimizer, k)
        del self.defaults


class GivesAddedGroupsNoSlowWeights(Lookahead):
    def add_param_group(self, param_group):
        known = any(param_group["params"] is group["params"] for group in self.param_groups)
        if self.param_groups and not known:
            self.optimizer.add_param_group(param_group)
        else:
            super().add_param_group(param_group)


class SkipsTheBaseConstructor(Lookahead):
    def __init__(self, optimizer, k):
        self.optimizer, self.k, self.alpha, self.pullback_momentum, self.counter = (
            optimizer,
            k,
            0.5,
            "none",
            0,
        )
        self.defaults, self.state, self._versions = optimizer.defaults, defaultdict(dict), {}
        self._at_slow_weights = False


class CopiesWithoutDefaults(Lookahead):
    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "defaults"}


class CopiesWithoutHooks(Lookahead):
    def __setstate__(self, state):
        vars(self).update(state)


class IsNoOptimizer:
    def __init__(self, optimizer, k):
        self.wrapped = Lookahead(optimizer, k)

    def __getattr__(self, name):
        return getattr(self.wrapped, name)


class KeepsItsOwnGroups(Lookahead):
    @property
    def param_groups(self):
        return vars(self).get("groups", self.optimizer.param_groups)

    @param_groups.setter
    def param_groups(self, groups):
        self.groups = self.optimizer.param_groups = groups


class AdvertisesScaling(Lookahead):
    _step_supports_amp_scaling = True


class AliasesTheSlowMomentum(Lookahead):
    def _pull_momentum_back(self, parameters):
        super()._pull_momentum_back(parameters)
        for parameter in parameters:
            self.state[parameter]["slow_momentum"] = self.optimizer.state[parameter]["momentum_buffer"]


class InjectsAMomentumBuffer(Lookahead):
    def _pull_momentum_back(self, parameters):
        for parameter in parameters:
            self.optimizer.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))


class KnowsTheMomentumOfSGDOnly(Lookahead):
    def _pull_momentum_back(self, parameters):
        for parameter in parameters:
            self.optimizer.state[parameter]["momentum_buffer"].mul_(self.alpha)


class RestoresUnlessInterrupted(Lookahead):
    @contextmanager
    def slow_weights(self):
        self._swap()
        yield
        self._swap()


class EvaluatesTheFastWeights(Lookahead):
    @contextmanager
    def slow_weights(self):
        yield


class SynchronisesToEvaluate(Lookahead):
    @contextmanager
    def slow_weights(self):
        self._synchronize()
        yield


class NeverFollowsTheModel(Lookahead):
    def _follow_parameters(self):
        pass


class FollowsTheModelBetweenCyclesOnly(Lookahead):
    def _note_versions(self, parameters):
        pass
