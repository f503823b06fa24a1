"""What changed between two models, and which layers are said to have done it."""

import json
import os
import re
import subprocess
import textwrap

import pytest
from torch import nn

import cnncost as library
from cnncost.budget.diff import Diff
from cnncost.budget.render import diffs, diffs_page
from cnncost.budget.render.words import contributions
from cnncost.budget.repository import Repository, note_on_missing_changes
from cnncost.budget.snapshot import SUMMED, Part, Snapshot, of_report
from cnncost.render.formats import FORMATS
from cnncost.render.text import to_text
from cnncost.zoo import build

pytestmark = pytest.mark.usefixtures("warm_revisions")


@pytest.fixture(scope="module")
def resnet50():
    return of_report(library.analyze("resnet50"))


def replaced(snapshot, path, **figures):
    """The snapshot with other figures of one module, and totals to match."""
    parts = tuple(p._replace(**figures) if p.path == path else p for p in snapshot.parts)
    totals = {name: sum(getattr(p, name) for p in parts) for name in ("params", "macs", "flops")}
    return type(snapshot)(snapshot.model, snapshot.inputs, parts, False, {**snapshot.totals, **totals})


def test_ten_per_cent_more_in_any_one_layer_of_resnet50_is_located(resnet50):
    """Every layer that has MACs, one after the other: 54 of them."""
    layers = [part for part in resnet50.parts if part.macs]
    found = []
    for part in layers:
        new = replaced(resnet50, part.path, macs=part.macs * 11 // 10)
        where = Diff(resnet50, new).attribution("macs")
        found.append((where.path, where.part, where.whole))

    assert len(layers) == 54
    assert found == [(p.path, p.macs * 11 // 10 - p.macs, p.macs * 11 // 10 - p.macs) for p in layers]


@pytest.mark.parametrize(
    ("path", "edit", "reason"),
    [
        ("layer3.2.conv2", {"kernel_size": 5, "padding": 2}, "kernel 3→5"),
        ("layer1.0.conv2", {"padding": (1, 2), "kernel_size": (3, 5)}, "kernel 3→3×5"),
        ("conv1", {"kernel_size": 8}, "kernel 7→8"),
        ("layer4.1.conv2", {"groups": 2}, "groups 1→2"),
    ],
)
def test_a_changed_layer_of_a_real_model_is_named_with_its_reason(resnet50, path, edit, reason):
    model = build("resnet50")
    old = model.get_submodule(path)
    given = {
        "in_channels": old.in_channels, "out_channels": old.out_channels, "kernel_size": old.kernel_size,
        "stride": old.stride, "padding": old.padding, "bias": False,
    }  # fmt: skip
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, nn.Conv2d(**{**given, **edit}))
    new = of_report(library.analyze(model.eval(), "1x3x224x224"))
    where = Diff(resnet50, new).attribution("params")

    assert where.path == path
    assert reason in where.reasons


def test_what_grew_is_found_where_something_else_shrank(resnet50):
    """conv1 loses 10 M, layer4.0.conv2 gains 30 M: the growth of the total is layer4.0.conv2's."""
    first, last = (resnet50.by_path[path] for path in ("conv1", "layer4.0.conv2"))
    new = replaced(resnet50, "conv1", macs=first.macs - 10_000_000)
    new = replaced(new, "layer4.0.conv2", macs=last.macs + 30_000_000)
    diff = Diff(resnet50, new)

    assert diff.delta("macs") == 20_000_000
    assert diff.attribution("macs")[:3] == ("layer4.0.conv2", 30_000_000, 30_000_000)
    assert [change.place for change in diff.contributors("macs", 5)] == ["layer4.0.conv2", "conv1"]


def test_a_change_that_is_spread_is_the_models(resnet50):
    new = resnet50
    for path in ("layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1"):
        new = replaced(new, path, macs=resnet50.by_path[path].macs + 1_000_000)

    assert Diff(resnet50, new).attribution("macs")[:3] == ("", 3_000_000, 3_000_000)


def test_four_fifths_are_enough(resnet50):
    new = replaced(resnet50, "layer1.0.conv1", macs=resnet50.by_path["layer1.0.conv1"].macs + 1_000_000)
    new = replaced(new, "layer3.0.conv1", macs=resnet50.by_path["layer3.0.conv1"].macs + 4_000_000)

    assert Diff(resnet50, new).attribution("macs")[:3] == ("layer3.0.conv1", 4_000_000, 5_000_000)


# the command


@pytest.fixture
def diff(project, cnncost):
    """Run `cnncost diff`."""
    return lambda *arguments: cnncost("diff", *arguments)


def test_models_that_have_nothing_in_common(diff):
    """VGG-16's features go, ResNet-50's layers come: what went is more than the total went down by."""
    code, out, _ = diff("vgg16", "resnet50")
    removed, total = 15_346_630_656, 3_857_973_248 - 15_470_264_320

    assert code == 0
    assert "−11.6 G MACs (−75 %): 99 % of −15.5 G in features (removed), +3.86 G elsewhere" in out
    assert f"{removed / 1e9:.1f} G" == "15.3 G"
    assert f"{total / 1e9:.1f} G" == "-11.6 G"
    assert "renamed or moved" not in out


def test_arguments_of_two_models(diff):
    added = 8 * 8 * 16 * 16 * (25 - 9)
    code, out, err = diff("net.py:Net", "net.py:Net", "--input", "1x3x8x8", "--new-args", "kernel=5")

    assert (code, err) == (0, "")
    assert out.startswith("net.py:Net → net.py:Net (kernel=5)\ninput 1×3×8×8 float32\n")
    assert f"+{added // 1000} k MACs (+150 %): 100 % in body.0 (kernel 3→5, padding 1→2)" in out


def test_saved_reports(diff, project, cnncost):
    for name, arguments in (("a", "kernel=3"), ("b", "kernel=5")):
        cnncost("summarize", "net.py:Net", "--input", "1x3x8x8", "--model-args", arguments, "-o", f"{name}.json")
    code, out, _ = diff("a.json", "b.json", "--format", "json")
    found = json.loads(out)

    assert code == 0
    assert found["macs"]["delta"] == 8 * 8 * 16 * 16 * (25 - 9)
    assert found["macs"]["attribution"]["path"] == "body.0"
    assert "the same" in diff("a.json", "net.py:Net", "--input", "1x3x8x8")[1]


def test_exit_code_1_if_asked_for(diff):
    assert diff("lenet5", "lenet1", "--exit-code")[0] == 1
    assert diff("lenet5", "lenet5", "--exit-code")[0] == 0


def test_other_inputs_are_told_of(diff, project, cnncost):
    cnncost("summarize", "net.py:Net", "--input", "1x3x8x8", "-o", "a.json")
    assert "inputs differ: 1×3×8×8 float32 and 2×3×8×8 float32" in diff("a.json", "net.py:Net", "--input", "2x3x8x8")[1]


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_no_line_is_longer_than_the_terminal(diff, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))

    assert max(map(len, diff("resnet18", "resnet50")[1].splitlines())) <= columns


def test_markdown(diff, project):
    code, out, _ = diff("resnet18", "resnet34", "-o", "out.md")
    text = (project / "out.md").read_text()

    assert (code, out) == (0, "")
    assert "| MACs | 1,814,073,344 | 3,663,761,408 | +1.85 G | +102 % |" in text
    assert "| `layer1.2.conv1` | added | +116 M | +36.9 k |" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lenet5"], "expected OLD and NEW"),
        (["lenet5", "lenet1", "fc10"], "expected OLD and NEW"),
        (["lenet5", "lenet1", "--rev", "a..b"], "--rev takes one MODEL"),
        (["lenet5", "lenet6"], "did you mean lenet5"),
        (["a.json", "lenet5"], "a.json: can't be read"),
        (["lenet5", "lenet1", "-o", "x.png"], f"ends in {FORMATS.usual_endings}, got .png"),
        (["lenet5", "lenet1", "-o", "x"], f"ends in {FORMATS.usual_endings}, got no ending"),
        (["lenet5", "--rev", "a..b"], "git rev-parse: fatal: not a git repository"),
        (["lenet5", "--rev", "a..b"], "; revisions need a repository: run the command in one, or compare"),
        (["lenet5", "--rev", "a..b", "--input", "1x"], "expected a shape"),
        (["lenet5", "--rev", "a..b", "--new-args", "x=1"], "--new-args is for two models"),
    ],
)
def test_what_is_wrong(diff, arguments, told, monkeypatch, project):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    code, out, err = diff(*arguments)

    assert (code, out) == (2, "")
    assert told in err


# revisions


def git(folder, *arguments):
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True, env=env)  # noqa: S607
    return done.stdout


@pytest.fixture
def repository(project):
    """Three commits: kernel 3 (tag `old`), kernel 5, and on the branch `side`, from `old`, 32 filters."""
    git(project, "init")
    source = project / "net.py"
    text = source.read_text()
    git(project, "add", "."), git(project, "commit", "-m", "one"), git(project, "tag", "old")
    git(project, "checkout", "-b", "side")
    source.write_text(text.replace("width=16", "width=32"))
    git(project, "commit", "-am", "side")
    git(project, "checkout", "main")
    source.write_text(text.replace("kernel=3", "kernel=5"))
    git(project, "commit", "-am", "two")
    return project


def state(folder):
    """All that git and the file system tell of a working tree."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return (
        files,
        git(folder, "status", "--porcelain"),
        git(folder, "worktree", "list"),
        git(folder, "rev-parse", "HEAD"),
    )


KERNEL = 8 * 8 * 16 * 16 * (25 - 9)
WIDTH = 8 * 8 * 3 * 9 * 16 + 8 * 8 * 9 * (32 * 32 - 16 * 16) + 16 * 10


@pytest.mark.parametrize(
    ("rev", "old", "new"),
    [
        ("old..main", "old", "main"), ("main..old", "main", "old"), ("old..", "old", "main"),
        ("HEAD~1..HEAD", "old", "main"), ("main..side", "main", "side"), ("main...side", "old", "side"),
        ("old", "old", None),
    ],
)  # fmt: skip
def test_which_commits_a_range_means(repository, rev, old, new):
    hashes = {name: git(repository, "rev-parse", name).strip() for name in ("old", "main", "side")}
    found = Repository(repository).range(rev)

    assert (found.old, found.new) == (hashes[old], hashes[new] if new else None)


@pytest.mark.parametrize(("rev", "delta"), [("main...side", WIDTH), ("old", KERNEL)])
def test_two_revisions(repository, diff, rev, delta):
    before = state(repository)
    code, out, err = diff("net.py:Net", "--rev", rev, "--input", "1x3x8x8", "--format", "json")

    assert (code, err) == (0, "")
    assert json.loads(out)["macs"]["delta"] == delta
    assert state(repository) == before


def test_changes_that_are_not_committed_are_told_of_and_stay(repository, diff):
    source = repository / "net.py"
    source.write_text(source.read_text().replace("width=16", "width=8"))
    git(repository, "add", "."), (repository / "new.py").write_text("x = 1\n")
    before = state(repository)
    code, out, err = diff("net.py:Net", "--rev", "old..HEAD", "--input", "1x3x8x8", "--format", "json")

    assert (code, json.loads(out)["macs"]["delta"]) == (0, KERNEL)
    assert "the working tree has changes that HEAD lacks; to include them, use --rev old" in err
    assert state(repository) == before


def test_the_merge_base_to_which_changes_are_to_be_compared(repository):
    """It has no name of its own that git takes."""
    compared = Repository(repository).range("main...side")
    advised = note_on_missing_changes(compared).rpartition(" ")[2]
    assert git(repository, "rev-parse", advised).strip() == git(repository, "rev-parse", "old").strip()


def test_from_a_folder_below(repository, diff, monkeypatch):
    (repository / "deep").mkdir()
    (repository / "deep" / "part.py").write_text("from torch import nn\n\ndef f():\n    return nn.Linear(8, 2)\n")
    git(repository, "add", "."), git(repository, "commit", "-m", "deep")
    (repository / "deep" / "part.py").write_text("from torch import nn\n\ndef f():\n    return nn.Linear(8, 4)\n")
    git(repository, "commit", "-am", "deeper")
    monkeypatch.chdir(repository / "deep")
    out = diff("part.py:f", "--rev", "HEAD~1..", "--input", "1x8", "--format", "json")[1]

    assert json.loads(out)["macs"]["delta"] == 16
    code, _, err = diff("part.py:f", "--rev", "old..", "--input", "1x8")
    assert (code, "has no folder deep/" in err) == (2, True)


def test_a_package_in_src(repository, diff, monkeypatch):
    """As with an editable install of the working tree, which must not be taken for the revision."""
    package = repository / "src" / "pkg_of_rev"
    package.mkdir(parents=True)
    for width in (2, 4):
        (package / "__init__.py").write_text(f"from torch import nn\n\ndef f():\n    return nn.Linear(8, {width})\n")
        git(repository, "add", "."), git(repository, "commit", "-m", str(width))
    monkeypatch.setenv("PYTHONPATH", f"{repository / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    _, out, err = diff("pkg_of_rev:f", "--rev", "HEAD~1..HEAD", "--input", "1x8", "--format", "json")
    assert err == ""

    assert json.loads(out)["macs"]["delta"] == 16


def test_code_of_the_working_tree_is_not_taken_for_the_revisions(repository, diff):
    code, _, err = diff(f"{repository}/net.py:Net", "--rev", "old..HEAD", "--input", "1x3x8x8")

    assert code == 2
    assert "was imported from the working tree" in err


@pytest.mark.parametrize(
    ("rev", "model", "told"),
    [
        ("old..nowhere", "net.py:Net", "revision 'nowhere': there is none"),
        ("sied..HEAD", "net.py:Net", "did you mean side"),
        ("--exec=x", "net.py:Net", "expected a branch"),
        ("old..HEAD", "net.py:Other", "at old: net.py:Other: net.py has no Other"),
    ],
)
def test_revisions_that_can_not_be_compared(repository, diff, rev, model, told):
    before = state(repository)
    code, out, err = diff(model, "--rev", rev, "--input", "1x3x8x8")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert state(repository) == before


def test_a_shallow_clone_says_how_to_get_the_rest(repository, diff, monkeypatch, tmp_path_factory):
    clone = tmp_path_factory.mktemp("clone")
    git(clone, "clone", "--depth", "1", f"file://{repository}", ".")
    monkeypatch.chdir(clone)
    code, _, err = diff("net.py:Net", "--rev", "old..HEAD", "--input", "1x3x8x8")

    assert code == 2
    assert "git fetch --unshallow" in err
    assert "fetch-depth: 0" in err


def test_a_model_that_prints_or_breaks_at_one_revision(repository, diff):
    source = repository / "net.py"
    source.write_text(textwrap.dedent("print('loading')\nraise SystemExit(3)\n"))
    git(repository, "commit", "-am", "broken")
    code, out, err = diff("net.py:Net", "--rev", "old..HEAD", "--input", "1x3x8x8")

    assert (code, out) == (2, "")
    assert "net.py:Net at HEAD: " in err


CONV = nn.Conv2d(8, 8, 3, padding=1)
SETTINGS = [
    pytest.param(CONV, nn.Linear(8, 8), "Conv2d→Linear", id="no kernel, not one of 0"),
    pytest.param(CONV, nn.MaxPool2d(2), "Conv2d→MaxPool2d, kernel 3→2, padding 1→0, stride 1→2", id="two with kernels"),
    pytest.param(nn.Linear(8, 8), nn.GRU(8, 4), "Linear→GRU", id="nothing in common"),
    pytest.param(CONV, nn.Conv2d(8, 8, 3, dilation=2), "padding 1→0, dilation 1→2", id="defaults"),
]


@pytest.mark.parametrize(("old", "new", "said"), SETTINGS)
def test_settings_of_two_classes_are_compared_where_both_have_them(old, new, said):
    shape = "8x16x8" if isinstance(new, nn.GRU) else "1x8x16x8"
    sides = [of_report(library.analyze(nn.Sequential(layer), shape, name="net")) for layer in (old, new)]
    assert [change.what for change in Diff(*sides).changes] == [said]


def test_a_peak_without_ops_that_have_no_rule_is_marked():
    sides = [
        Snapshot("net", (), (Part("", "Net", 1),), lower_bound, dict.fromkeys((*SUMMED, "inference_peak"), number))
        for lower_bound, number in ((True, 1000), (False, 2000))
    ]
    shown = to_text(diffs.document({"net": Diff(*sides)}, {}, ("old", "new"), 3, "a model"), width=80)
    assert re.search(r"inference peak +≥1000 B +1.95 KiB", shown)
    assert re.search(r"MACs +≥1,000 +2,000", shown)


def test_a_peak_without_temporaries_is_marked_alone():
    totals = [dict.fromkeys((*SUMMED, "inference_peak"), number) for number in (1000, 2000)]
    sides = [
        Snapshot("net", (), (Part("", "Net", 1),), False, numbers, unseen=unseen)
        for numbers, unseen in zip(totals, (True, False), strict=True)
    ]
    shown = to_text(diffs.document({"net": Diff(*sides)}, {}, ("old", "new"), 3, "a model"), width=80)
    assert re.search(r"inference peak +≥1000 B +1.95 KiB +~", shown)
    assert re.search(r"MACs +1,000 +2,000", shown)
    assert "unknown temporaries, are missing" in shown
    page = diffs_page.page_data({"net": Diff(*sides)}, {}, ("old", "new"))
    marks = {figure["name"]: figure["marks"] for figure in page["models"][0]["figures"]}
    assert marks["inference_peak"] == {"old": "≥", "new": "", "change": "~"}
    assert marks["macs"] == {"old": "", "new": "", "change": ""}


BIASED = [
    # what is built with and without a bias, the input, what is said, and how many parameters and FLOPs it is less
    pytest.param(lambda bias: nn.Linear(16, 8, bias), "2x16", "bias removed", (8, 16), id="linear"),
    pytest.param(lambda bias: nn.Linear(1, 1, bias), "5x1", "bias removed", (1, 5), id="one element each"),
    pytest.param(lambda bias: nn.Conv2d(3, 8, 3, bias=bias), "1x3x6x6", "bias removed", (8, 8 * 16), id="conv"),
    pytest.param(lambda bias: nn.Conv1d(4, 4, 3, groups=4, bias=bias), "1x4x6", "bias removed", (4, 16), id="groups"),
    pytest.param(
        lambda bias: nn.ConvTranspose2d(8, 4, 2, 2, bias=bias), "1x8x3x3", "bias removed", (4, 4 * 36), id="transposed"
    ),
    pytest.param(lambda bias: nn.LayerNorm(14, bias=bias), "1x14", "params 28→14", None, id="no weight to be equal"),
    pytest.param(lambda bias: nn.LSTM(16, 4, bias=bias), "3x1x16", "params 352→320", None, id="several biases"),
]  # fmt: skip


@pytest.mark.parametrize(("build_layer", "inputs", "said", "less"), BIASED)
def test_a_bias_more_or_less_is_told(build_layer, inputs, said, less):
    old, new = (
        of_report(library.analyze(nn.Sequential(build_layer(bias)), inputs, name="net")) for bias in (True, False)
    )
    there, back = Diff(old, new), Diff(new, old)
    assert [change.what for change in there.changes] == [said]
    assert there.attribution("params").reasons == (said,)
    if less is not None:
        assert (there.delta("params"), there.delta("flops"), there.delta("macs")) == (-less[0], -less[1], 0)
        assert [change.what for change in back.changes] == ["bias added"]


def test_fewer_parameters_are_no_bias_where_the_weight_changed_too():
    """A tied weight of as many elements as there are outputs is not counted twice; no FLOP less."""
    tied = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1), nn.Linear(1, 4))
    tied[2].weight = tied[0].weight
    old = of_report(
        library.analyze(nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1), nn.Linear(1, 4)), "2x1", name="net")
    )
    found = Diff(old, of_report(library.analyze(tied, "2x1", name="net")))
    assert [(change.place, change.what) for change in found.changes] == [("2", "params 8→4")]


def features(width, depth):
    layers = []
    for i in range(depth):
        layers += [nn.Conv2d(3 if i == 0 else width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


class Plain(nn.Module):
    """Its two parts have no layer in common with those of `Other`."""

    def __init__(self):
        super().__init__()
        self.features, self.classifier = features(8, 3), nn.Sequential(nn.Flatten(), nn.Linear(8 * 64, 100))

    def forward(self, x):
        return self.classifier(self.features(x))


class Other(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.stage1, self.fc = nn.Conv2d(3, 5, 5), features2(), nn.Linear(6, 7)

    def forward(self, x):
        return self.fc(self.stage1(self.stem(x)).mean((2, 3)))


def features2():
    return nn.Sequential(nn.Conv2d(5, 6, 1), nn.BatchNorm2d(6), nn.GELU())


def of(model):
    return of_report(library.analyze(model, "1x3x8x8", name=type(model).__name__))


UNRELATED = [(Plain, Other), (Other, Plain)]


@pytest.mark.parametrize(("old", "new"), UNRELATED)
def test_networks_that_have_nothing_in_common_are_removed_and_added(old, new):
    found = Diff(of(old()), of(new()))
    assert found.moved == ()
    gone = {change.place.partition(".")[0] for change in found.changes if change.kind == "removed"}
    come = {change.place.partition(".")[0] for change in found.changes if change.kind == "added"}
    by_name = {Plain: {"features", "classifier"}, Other: {"stem", "stage1", "fc"}}
    assert gone - {""} == by_name[old]
    assert come - {""} == by_name[new]


@pytest.mark.parametrize(("old", "new"), [*UNRELATED, ("vgg11", "resnet18"), ("lenet5", "alexnet")])
@pytest.mark.parametrize("name", ["params", "macs", "flops"])
def test_what_went_with_a_change_and_what_went_against_add_up(old, new, name):
    pair = [of(side()) if callable(side) else of_report(library.analyze(side)) for side in (old, new)]
    found = Diff(*pair)
    where = found.attribution(name)
    assert where.whole + where.against == found.delta(name)


def test_shares_in_words_add_up_to_the_change():
    found = Diff(of(Plain()), of(Other()))
    # by hand: 3·8·9+8, twice 8·8·9+8, 512·100+100 go; 3·5·25+5, 5·6+6 with a norm of 12, 6·7+7 come
    gone, come = (224, 2 * 584, 51300), (380, 36 + 12, 49)
    assert found.delta("params") == sum(come) - sum(gone)
    # which is 52,692 less in all and 477 more; in three digits each
    assert found.delta("params") == -52692 + 477
    assert contributions(found, "params", 9) == ("classifier −51.3 k, features −1.39 k, stem +380, fc +49, stage1 +48")
    assert contributions(found, "params", 2) == "classifier −51.3 k, features −1.39 k and 3 more +477"
