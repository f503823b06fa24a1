"""Layers of PyTorch Geometric on a small graph, and models that take a batch of graphs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from library_cases.case import Case, Cases

PACKAGES = ("torch_geometric", "scipy")

EDGES = torch.tensor([[0, 1, 2, 3, 4, 0, 2, 5], [1, 0, 3, 2, 0, 4, 5, 2]])


def cases() -> Cases:
    import torch_geometric.nn as g
    from torch_geometric.data import Batch, Data

    x, attr = torch.rand(6, 8), torch.rand(8, 4)
    position = torch.rand(6, 3)
    types = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1])

    def case(name: str, config: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return lambda: Case(
            getattr(g, name)(**config), tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in args), kwargs
        )

    simple = {"in_channels": 8, "out_channels": 4}
    for name, more in {
        "GCNConv": {},
        "ChebConv": {"K": 3},
        "SAGEConv": {},
        "GraphConv": {},
        "ResGatedGraphConv": {},
        "GATConv": {"heads": 2},
        "GATv2Conv": {"heads": 2},
        "TransformerConv": {"heads": 2},
        "TAGConv": {},
        "ARMAConv": {"num_stacks": 2, "num_layers": 2},
        "SGConv": {"K": 2},
        "SSGConv": {"alpha": 0.1, "K": 2},
        "MFConv": {},
        "LEConv": {},
        "ClusterGCNConv": {},
        "GENConv": {"num_layers": 1},
        "FeaStConv": {"heads": 2},
        "FiLMConv": {},
        "SuperGATConv": {"heads": 2},
        "EGConv": {"num_heads": 2},
        "GeneralConv": {},
        "MixHopConv": {"powers": [0, 1, 2]},
        "HypergraphConv": {},
    }.items():
        yield name, case(name, {**simple, **more}, x, EDGES)
    yield "GCNConv cached", case("GCNConv", {**simple, "cached": True}, x, EDGES)
    yield "SimpleConv", case("SimpleConv", {}, x, EDGES)
    yield "LGConv", case("LGConv", {}, x, EDGES)
    yield "APPNP", case("APPNP", {"K": 2, "alpha": 0.1}, x, EDGES)
    yield "AGNNConv", case("AGNNConv", {}, x, EDGES)
    yield "FAConv", case("FAConv", {"channels": 8}, x, x, EDGES)
    yield "GCN2Conv", case("GCN2Conv", {"channels": 8, "alpha": 0.1}, x, x, EDGES)
    yield "GatedGraphConv", case("GatedGraphConv", {"out_channels": 8, "num_layers": 2}, x, EDGES)
    yield (
        "GINConv",
        lambda: Case(g.GINConv(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 4))), (x.clone(), EDGES.clone())),
    )
    yield "GINEConv", lambda: Case(g.GINEConv(nn.Linear(8, 4), edge_dim=4), (x.clone(), EDGES.clone(), attr.clone()))
    yield "NNConv", lambda: Case(g.NNConv(8, 4, nn.Linear(4, 32)), (x.clone(), EDGES.clone(), attr.clone()))
    yield "CGConv", case("CGConv", {"channels": 8, "dim": 4}, x, EDGES, attr)
    yield "PDNConv", case("PDNConv", {**simple, "edge_dim": 4, "hidden_channels": 4}, x, EDGES, attr)
    yield "GMMConv", case("GMMConv", {**simple, "dim": 4, "kernel_size": 3}, x, EDGES, attr)
    yield "RGCNConv", case("RGCNConv", {**simple, "num_relations": 2}, x, EDGES, types)
    yield "RGCNConv bases", case("RGCNConv", {**simple, "num_relations": 2, "num_bases": 2}, x, EDGES, types)
    yield "FastRGCNConv", case("FastRGCNConv", {**simple, "num_relations": 2}, x, EDGES, types)
    yield "RGATConv", case("RGATConv", {**simple, "num_relations": 2}, x, EDGES, types)
    yield "EdgeConv", lambda: Case(g.EdgeConv(nn.Linear(16, 4)), (x.clone(), EDGES.clone()))
    yield "PointNetConv", lambda: Case(g.PointNetConv(nn.Linear(11, 4)), (x.clone(), position.clone(), EDGES.clone()))
    yield "PointTransformerConv", case("PointTransformerConv", simple, x, position, EDGES)
    yield (
        "PNAConv",
        case(
            "PNAConv",
            {
                **simple,
                "aggregators": ["mean", "max", "std"],
                "scalers": ["identity", "attenuation"],
                "deg": torch.tensor([0, 4, 2]),
            },
            x,
            EDGES,
        ),
    )
    yield "PANConv", case("PANConv", {**simple, "filter_size": 2}, x, EDGES)
    yield "GPSConv", lambda: Case(g.GPSConv(8, g.GCNConv(8, 8), heads=2), (x.clone(), EDGES.clone()))
    yield "AntiSymmetricConv", case("AntiSymmetricConv", {"in_channels": 8}, x, EDGES)
    yield "DirGNNConv", lambda: Case(g.DirGNNConv(g.SAGEConv(8, 4)), (x.clone(), EDGES.clone()))
    yield (
        "HeteroConv",
        lambda: Case(
            g.HeteroConv(
                {("a", "to", "b"): g.SAGEConv((8, 8), 4), ("b", "to", "a"): g.GATConv((8, 8), 4, add_self_loops=False)}
            ),
            (
                {"a": torch.rand(6, 8), "b": torch.rand(6, 8)},
                {("a", "to", "b"): EDGES.clone(), ("b", "to", "a"): EDGES.clone()},
            ),
        ),
    )
    yield "TopKPooling", case("TopKPooling", {"in_channels": 8, "ratio": 0.5}, x, EDGES)
    yield "SAGPooling", case("SAGPooling", {"in_channels": 8, "ratio": 0.5}, x, EDGES)
    yield "Set2Set", lambda: Case(g.Set2Set(8, processing_steps=2), (x.clone(), torch.zeros(6, dtype=torch.long)))
    yield (
        "GCN model",
        case("GCN", {"in_channels": 8, "hidden_channels": 8, "num_layers": 2, "out_channels": 4}, x, EDGES),
    )
    yield (
        "GAT model jk",
        case(
            "GAT",
            {"in_channels": 8, "hidden_channels": 8, "num_layers": 2, "out_channels": 4, "jk": "lstm", "v2": True},
            x,
            EDGES,
        ),
    )
    yield (
        "DimeNet",
        case(
            "DimeNet",
            {
                "hidden_channels": 8,
                "out_channels": 1,
                "num_blocks": 1,
                "num_bilinear": 2,
                "num_spherical": 2,
                "num_radial": 2,
            },
            torch.ones(6, dtype=torch.long),
            position,
        ),
    )
    yield (
        "SchNet",
        case(
            "SchNet",
            {"hidden_channels": 8, "num_filters": 8, "num_interactions": 1, "num_gaussians": 4},
            torch.ones(6, dtype=torch.long),
            position,
        ),
    )
    yield (
        "GraphUNet",
        case("GraphUNet", {"in_channels": 8, "hidden_channels": 8, "out_channels": 4, "depth": 2}, x, EDGES),
    )

    class OfData(nn.Module):
        """Takes a Data and keeps what it makes in it."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.out = g.GCNConv(8, 8), nn.Linear(8, 2)

        def forward(self, data: Any) -> torch.Tensor:
            data.x = self.conv(data.x, data.edge_index).relu()
            return self.out(g.global_mean_pool(data.x, data.batch))

    yield "of a Data, written to", lambda: Case(OfData(), (Data(x=x.clone(), edge_index=EDGES.clone()),))
    yield (
        "of a Batch, written to",
        lambda: Case(
            OfData(), (Batch.from_data_list([Data(x=torch.rand(6, 8), edge_index=EDGES.clone()) for _ in range(2)]),)
        ),
    )
    yield "MessageNorm", lambda: Case(g.MessageNorm(), (x.clone(), x.clone()))
    yield "GraphNorm", lambda: Case(g.GraphNorm(8), (x.clone(),))
    yield "MemPooling", lambda: Case(g.MemPooling(8, 4, 2, 2), (x.clone(),))
    yield "dense_diff_pool", lambda: Case(g.DenseGCNConv(8, 4), (torch.rand(2, 6, 8), torch.ones(2, 6, 6)))
    yield "DenseSAGEConv", lambda: Case(g.DenseSAGEConv(8, 4), (torch.rand(2, 6, 8), torch.ones(2, 6, 6)))
