"""CUDA graphs for the pretended GPU: operators recorded with the memory that they use, and run again on that memory."""

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten


class Recording:
    """The operators of one capture.

    While a real GPU records, nothing happens on the device. Here each operator runs, so that the next one has its
    input; `undo` then gives every tensor that existed before, and the random generator, their old values back.
    """

    def __init__(self, gpu):
        self.gpu, self.calls = gpu, []
        self._made: set[int] = set()  # addresses of what the recorded operators allocated
        self._old: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._random = torch.get_rng_state()

    def run(self, func, args, kwargs):
        for tensor in _written(func, args, kwargs):
            storage = tensor.untyped_storage()
            if tensor.device.type == "cpu" and storage.data_ptr() not in self._made | self._old.keys():
                self._old[storage.data_ptr()] = storage, storage.clone()
        out = self.gpu.call(func, args, kwargs)
        outs = [x for x in tree_flatten(out)[0] if isinstance(x, Tensor)]
        inputs = {x.untyped_storage().data_ptr() for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)}
        self._made |= {x.untyped_storage().data_ptr() for x in outs} - inputs
        if not func.is_view:
            self.calls.append((func, args, kwargs, outs))
        return out

    def undo(self) -> None:
        for storage, values in self._old.values():
            storage.copy_(values)
        torch.set_rng_state(self._random)

    def replay(self) -> None:
        for func, args, kwargs, outs in self.calls:
            again = [x for x in tree_flatten(self.gpu.call(func, args, kwargs))[0] if isinstance(x, Tensor)]
            for old, new in zip(outs, again, strict=True):
                if old is not new:
                    old.copy_(new)


class PretendedGraph:
    """torch.cuda.CUDAGraph."""

    replays = 0  # of all graphs

    def __init__(self):
        self.recording: Recording | None = None

    def replay(self) -> None:
        PretendedGraph.replays += 1
        gpu = self.recording.gpu
        gpu.launches["graph"] += 1
        with torch.utils._python_dispatch._disable_current_modes(), torch.no_grad():
            self.recording.replay()


def _written(func, args, kwargs) -> list[Tensor]:
    if func._schema.name in ("aten::native_batch_norm", "aten::_native_batch_norm_legit"):  # its schema does not say so
        return [x for x in args[3:5] if isinstance(x, Tensor)]
    if not func._schema.is_mutable:
        return []
    found = []
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[index] if index < len(args) else kwargs.get(argument.name)
            found += [x for x in tree_flatten(value)[0] if isinstance(x, Tensor)]
    return found
