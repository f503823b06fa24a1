import importlib
import inspect
import pkgutil
import subprocess
import sys
from typing import get_type_hints

import pytest
from torch import nn

from cnncost import zoo
from cnncost.zoo import registry

NAMES = (
    "fc10 fc300 lenet300 conv6 conv6_valid conv6_pool conv6_stride conv6_16 lenet1 lenet5 lenet5_modern "
    "alexnet alexnet_two_gpu vgg11 vgg11_lrn vgg13 vgg16_c vgg16 vgg19 "
    "resnet18 resnet34 resnet50 resnet101 resnet152 plain18 plain34 mobilenet"
)


def test_names_are_in_order():
    assert zoo.names() == tuple(NAMES.split())


def test_entries_come_in_the_order_of_the_names():
    assert tuple(entry.name for entry in zoo.entries()) == zoo.names()


def test_unknown_name_is_a_lookup_error_that_knows_the_name():
    with pytest.raises(LookupError, match=r"expected one of fc10, .*got 'lenet6'") as caught:
        zoo.entry("lenet6")
    assert isinstance(caught.value, zoo.UnknownNetworkError)
    assert caught.value.name == "lenet6"


def test_build_hands_on_keyword_arguments():
    assert zoo.build("lenet300", num_classes=3).fc3.out_features == 3


def test_a_name_cannot_be_taken_twice():
    entry = zoo.entry("fc10")
    with pytest.raises(ValueError, match="'fc10' is the name of"):
        registry.index([entry, entry])


def test_names_and_figures_need_no_torch():
    code = (
        "import sys, cnncost.zoo as zoo; zoo.names(); zoo.entry('lenet5').published; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_catalog_and_builders_are_the_same():
    exported = set()
    for found in pkgutil.iter_modules(zoo.__path__, "cnncost.zoo."):
        module = importlib.import_module(found.name)
        for name in getattr(module, "__all__", ()):
            if found.name != registry.__name__ and returns_network(getattr(module, name)):
                exported.add(f"{found.name}:{name}")
    assert exported == {entry.builder for entry in zoo.entries()}


def returns_network(member: object) -> bool:
    if not inspect.isfunction(member):
        return False
    returned = get_type_hints(member).get("return")
    return inspect.isclass(returned) and issubclass(returned, nn.Module)


@pytest.mark.parametrize("name", zoo.names())
def test_builder_has_the_name_of_its_entry(name):
    assert zoo.entry(name).builder.partition(":")[2] == name


@pytest.mark.parametrize("name", zoo.names())
def test_entry_says_whose_network_it_is(name):
    entry = zoo.entry(name)
    assert entry.title
    assert entry.paper
    assert entry.published
    assert all(figure.source for figure in entry.published)
    assert len(set(entry.published)) == len(entry.published)
