"""Analyses at the same time: in threads, in an executor of asyncio, and in forked processes, give the same Graphs."""

import asyncio
import importlib
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
import torch
from torch import nn

import cnncost
from cnncost.graph_json import to_json


class Own(nn.Module):
    """Has what analyses replace while they run: a module's call, a tensor made in forward, an in-place write."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.cell = nn.GRU(8, 8, batch_first=True)

    def forward(self, x):
        y, _ = self.cell(x + torch.arange(8, dtype=x.dtype))
        y = self.norm(y.transpose(1, 2)).relu_()
        return y * torch.ones(8, 1)


def graphs(name):
    """A forward and a training step, as text."""
    if name == "own":
        found = cnncost.analyze(Own(), (2, 5, 8), training=True, optimizer="adam")
    else:
        found = cnncost.analyze(name, training=True)
    return to_json(found.graph), to_json(found.training)


@pytest.fixture(scope="module")
def alone():
    return {name: graphs(name) for name in ("own", "lenet5", "resnet18", "lenet1")}


WORK = ("own", "lenet5", "resnet18", "lenet1") * 4


def test_in_threads(alone):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(graphs, WORK))
    assert all(graph == alone[name] for name, graph in zip(WORK, found, strict=True))


def test_beside_a_thread_that_trains(alone):
    stop, model = threading.Event(), nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    failed, losses = [], []

    def train():
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        x = torch.ones(8, 4)
        try:
            while not stop.is_set():
                optimizer.zero_grad()
                loss = model(x).square().sum()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
        except Exception as error:  # noqa: BLE001  # told by the test
            failed.append(error)

    # An optimizer's first step imports torch's compiler, which two threads can't do at the same time.
    torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1).step()
    importlib.import_module("torch._dynamo")
    thread = threading.Thread(target=train)
    thread.start()
    try:
        found = [graphs(name) for name in WORK[:8]]
    finally:
        stop.set()
        thread.join()
    assert not failed
    assert losses
    assert all(isinstance(each, float) for each in losses)
    assert all(graph == alone[name] for name, graph in zip(WORK, found, strict=False))


def test_in_an_executor_of_asyncio(alone):
    async def all_of_them():
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(None, graphs, name) for name in WORK))

    with ThreadPoolExecutor(1) as thread:  # this one may have a loop already, of tests in a browser
        found = thread.submit(lambda: asyncio.run(all_of_them())).result()
    assert all(graph == alone[name] for name, graph in zip(WORK, found, strict=True))


def forked():
    """Graphs from forks of this process, in which analyses have run before."""
    assert graphs("own")
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        return list(pool.map(graphs, WORK))


@pytest.mark.long
def test_in_forked_processes(alone):
    """Of a new process: where a compiler or DTensors have run in a build with CUDA, autograd starts threads for a fake
    device, and nothing can be differentiated in a fork."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as new:
        found = new.submit(forked).result()
    assert all(graph == alone[name] for name, graph in zip(WORK, found, strict=True))
