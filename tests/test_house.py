"""The house: imports go one way, nobody reaches past a door, and every door opens."""

import ast
import re
from importlib import import_module

import pytest
from conftest import ROOT

KIT = ROOT / "kit"
ORDER = (  # from the ground up: a room imports rooms before it alone
    "errors", "system", "rules", "lookahead", "data", "augment", "model", "recipe", "tta", "parameters", "predict",
    "run", "analysis", "ablation", "plots", "train", "submission", "pack", "competition", "workflow", "sweep", "bench",
    "colab", "__main__",
)  # fmt: skip
ROOMS = sorted(path.parent.name for path in KIT.glob("*/__init__.py"))
DOORS = [room for room in ROOMS if room != "system"]  # whose modules are imported by themselves
PUBLIC = {
    "kit.data": "load load_competition_test CLASSES",
    "kit.model": "ResNet BasicBlock ARCHITECTURES build count_parameters",
    "kit.lookahead": "Lookahead",
    "kit.augment": "autoaugment Pipeline cutout mixup",
    "kit.recipe": "Recipe RECIPES",
    "kit.train": "train",
    "kit.run": "Run",
    "kit.predict": "predict",
    "kit.submission": "write_submission check_submission",
}


def imports():
    """Every import of the kit in the kit, wherever it stands in a file: the file, its room, and the module imported."""
    for path in sorted(KIT.rglob("*.py")):
        room = path.relative_to(KIT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports by dots"
                whole = node.module == "kit"
                names = [f"kit.{alias.name}" for alias in node.names] if whole else [node.module or ""]
            else:
                continue
            yield from ((path, room, name) for name in names if name.split(".")[0] == "kit")


def test_every_room_stands_in_the_order_and_there_are_few():
    entries = {path.name.removesuffix(".py") for path in KIT.iterdir() if path.suffix in ("", ".py")}
    assert entries - {"__init__", "__pycache__"} == set(ORDER)
    assert len([path for path in KIT.iterdir() if path.name != "__pycache__"]) <= 26


def test_imports_go_down_alone_so_there_is_no_cycle_of_rooms():
    arrows = [(str(path.relative_to(ROOT)), room, name.split(".")[1]) for path, room, name in imports()]
    assert len(arrows) > 200
    up = [arrow for arrow in arrows if arrow[1] != arrow[2] and ORDER.index(arrow[2]) > ORDER.index(arrow[1])]
    assert not up


def test_nobody_reaches_past_a_door():
    past = [
        (str(path.relative_to(ROOT)), name)
        for path, room, name in imports()
        if name.count(".") > 1 and name.split(".")[1] in DOORS and name.split(".")[1] != room
    ]
    assert not past


def test_notebooks_use_doors_alone():
    for path in sorted((ROOT / "notebooks").glob("*.py")):
        for room, rest in re.findall(r"^(?:from|import) kit\.(\w+)((?:\.\w+)*)", path.read_text(), re.M):
            assert not rest or room == "system", f"{path.name}: kit.{room}{rest}"


def test_lookahead_stands_alone():
    assert not [name for path, room, name in imports() if room == "lookahead"]


def test_one_module_alone_installs_handlers_of_signals():
    called = {
        str(path.relative_to(KIT))
        for path in KIT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("signal.signal", "signal.set_wakeup_fd")
    }
    assert called == {"system/interrupt.py"}


@pytest.mark.parametrize("room", DOORS)
def test_a_door_opens_for_every_name_and_hides_no_module_behind_a_function(room):
    door = import_module(f"kit.{room}")
    modules = {path.stem for path in (KIT / room).glob("*.py")}
    assert door.__all__
    for name in door.__all__:
        assert getattr(door, name) is not None, name
        assert name in dir(door)
    if "lazy_imports(__name__)" in (KIT / room / "__init__.py").read_text():
        assert not modules & set(door.__all__), "Python would set the name to the module"
    with pytest.raises(AttributeError, match="absent"):
        door.absent  # noqa: B018


@pytest.mark.parametrize("room", DOORS)
def test_a_door_says_what_comes_in_what_goes_out_and_what_it_imports(room):
    text = import_module(f"kit.{room}").__doc__ or ""
    told = re.search(r"May import: (.*?)\.(?:\s|$)", text, re.S)
    assert "In: " in text and "Out: " in text and told, room
    used = {name.split(".")[1] for _, mine, name in imports() if mine == room} - {room}
    assert used <= set(re.split(r",\s+", told[1])), f"kit/{room} imports {sorted(used)}"


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_importable(module):
    for name in PUBLIC[module].split():
        assert hasattr(import_module(module), name), name


def test_no_module_needs_what_windows_lacks_to_be_imported():
    """An import at the top, outside of a `try`, of a module of POSIX systems alone."""
    for path in sorted(KIT.rglob("*.py")):
        top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name for node in top for alias in node.names} | {getattr(node, "module", None) for node in top}
        assert not names & {"fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "posix"}, path
