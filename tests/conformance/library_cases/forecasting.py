"""Blocks of PyTorch Forecasting and agents of Stable-Baselines3: dictionaries in, named tuples out."""

from __future__ import annotations

import torch

from library_cases.case import Case, Cases

PACKAGES = (
    "!pytorch-forecasting",
    "!scikit-base",
    "!lightning",
    "!pytorch-lightning",
    "!lightning-utilities",
    "!torchmetrics",
    "pandas",
    "scikit-learn",
    "!stable-baselines3",
    "!gymnasium",
    "!farama-notifications",
    "cloudpickle",
    "!tensordict",
    "!torchrl",
    "orjson",
    "pyvers",
    "!deepctr-torch",
)


def cases() -> Cases:
    def blocks(name: str) -> Case:
        from pytorch_forecasting.models.nbeats import sub_modules as beats
        from pytorch_forecasting.models.temporal_fusion_transformer import sub_modules as fusion

        x = torch.rand(2, 6, 8)
        return {
            "GatedResidualNetwork": lambda: Case(fusion.GatedResidualNetwork(8, 8, 4), (x,)),
            "GatedLinearUnit": lambda: Case(fusion.GatedLinearUnit(8, 4), (x,)),
            "AddNorm": lambda: Case(fusion.AddNorm(8), (x, x)),
            "InterpretableMultiHeadAttention": lambda: Case(
                fusion.InterpretableMultiHeadAttention(2, 8), (x, x.clone(), x.clone())
            ),
            "VariableSelectionNetwork": lambda: Case(
                fusion.VariableSelectionNetwork(
                    {"a": 8, "b": 4}, 8, prescalers={"a": torch.nn.Linear(8, 8), "b": torch.nn.Linear(4, 4)}
                ),
                ({"a": x, "b": torch.rand(2, 6, 4)},),
                {"context": None},
            ),
            "TimeDistributed": lambda: Case(fusion.TimeDistributed(torch.nn.Linear(8, 4), batch_first=True), (x,)),
            "NBEATSGenericBlock": lambda: Case(
                beats.NBEATSGenericBlock(
                    units=8, thetas_dim=4, num_block_layers=2, backcast_length=8, forecast_length=3
                ),
                (x[:, 0],),
            ),
            "NBEATSTrendBlock": lambda: Case(
                beats.NBEATSTrendBlock(units=8, thetas_dim=3, num_block_layers=2, backcast_length=8, forecast_length=3),
                (x[:, 0],),
            ),
            "NBEATSSeasonalBlock": lambda: Case(
                beats.NBEATSSeasonalBlock(
                    units=8, thetas_dim=4, num_block_layers=2, backcast_length=8, forecast_length=3
                ),
                (x[:, 0],),
            ),
        }[name]()

    for name in (
        "GatedResidualNetwork",
        "GatedLinearUnit",
        "AddNorm",
        "InterpretableMultiHeadAttention",
        "VariableSelectionNetwork",
        "TimeDistributed",
        "NBEATSGenericBlock",
        "NBEATSTrendBlock",
        "NBEATSSeasonalBlock",
    ):
        yield f"pytorch-forecasting {name}", lambda name=name: blocks(name)

    def agent(name: str) -> Case:
        import gymnasium as gym
        import numpy as np
        from stable_baselines3.common.policies import (
            ActorCriticCnnPolicy,
            ActorCriticPolicy,
            MultiInputActorCriticPolicy,
        )
        from stable_baselines3.dqn.policies import DQNPolicy

        flat = gym.spaces.Box(-1, 1, (4,), np.float32)
        pixels = gym.spaces.Box(0, 255, (3, 36, 36), np.uint8)
        act = gym.spaces.Discrete(2)
        if name == "dqn":
            return Case(DQNPolicy(flat, act, lambda _: 1e-3), (torch.rand(2, 4),))
        if name == "cnn":
            return Case(
                ActorCriticCnnPolicy(pixels, act, lambda _: 1e-3),
                (torch.randint(255, (1, 3, 36, 36), dtype=torch.uint8), True),
            )
        if name == "dict":
            space = gym.spaces.Dict({"a": flat, "b": flat})
            return Case(
                MultiInputActorCriticPolicy(space, act, lambda _: 1e-3),
                ({"a": torch.rand(2, 4), "b": torch.rand(2, 4)}, True),
            )
        return Case(ActorCriticPolicy(flat, act, lambda _: 1e-3), (torch.rand(2, 4), True))

    for name in ("mlp", "cnn", "dict", "dqn"):
        yield f"stable-baselines3 {name}", lambda name=name: agent(name)

    def dictionaries(name: str) -> Case:
        from tensordict import TensorDict
        from tensordict.nn import TensorDictModule, TensorDictSequential

        one = TensorDictModule(torch.nn.Linear(8, 4), in_keys=["x"], out_keys=["y"])
        given = TensorDict({"x": torch.rand(2, 8)}, batch_size=[2])
        if name == "module":
            return Case(one, (given,))
        two = TensorDictModule(torch.nn.Linear(4, 2), in_keys=["y"], out_keys=["z"])
        return Case(TensorDictSequential(one, two), (given,))

    yield "tensordict module, written to", lambda: dictionaries("module")
    yield "tensordict sequence, written to", lambda: dictionaries("sequence")

    def clicks(name: str) -> Case:
        from deepctr_torch import models
        from deepctr_torch.inputs import DenseFeat, SparseFeat

        columns = [SparseFeat("a", 5, embedding_dim=4), SparseFeat("b", 6, embedding_dim=4), DenseFeat("c", 1)]
        return Case(
            getattr(models, name)(columns, columns, dnn_hidden_units=(8, 4), device="cpu"),
            (torch.cat([torch.randint(5, (3, 2)).float(), torch.rand(3, 1)], 1),),
        )

    for name in ("DeepFM", "xDeepFM", "DCN", "AutoInt", "NFM"):
        yield f"deepctr-torch {name}", lambda name=name: clicks(name)
