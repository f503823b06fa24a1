"""One or a few models each of many libraries."""

from __future__ import annotations

import torch
from torch import nn

from library_cases.case import Case, Cases

PACKAGES = (
    "!opacus",
    "opt-einsum",
    "!pytorch-metric-learning",
    "!neuraloperator",
    "!tensorly",
    "!tensorly-torch",
    "!torchdiffeq",
    "!torchsde",
    "!trampoline",
    "!gpytorch",
    "!linear_operator",
    "jaxtyping",
    "!pykan",
    "!lpips",
    "!piq",
    "!pytorch-msssim",
    "!facenet-pytorch",
    "!vector-quantize-pytorch",
    "!denoising-diffusion-pytorch",
    "!peft",
    "!segment-anything",
    "!efficientnet_pytorch",
    "!mambapy",
    "!ncps",
    "!encodec",
    "!conformer",
    "!pytorch-tcn",
    "!tab-transformer-pytorch",
    "!linformer",
    "!reformer-pytorch",
    "!product-key-memory",
    "!local-attention",
    "!frozendict",
    "!x-mlps-pytorch",
    "!discrete-continuous-embed-readout",
    "!linear-attention-transformer",
    "!rotary-embedding-torch",
    "!fair-esm",
    "!sentence-transformers",
    "!open_clip_torch",
    "ftfy",
    "!pytorch-tabnet",
    "!torch-einops-utils",
    "beartype",
    "wandb",
)


def cases() -> Cases:
    x = torch.rand(2, 8)
    image = torch.rand(1, 3, 32, 32)

    def opacus(kind: str) -> Case:
        from opacus.grad_sample import GradSampleModule
        from opacus.layers import DPLSTM, DPMultiheadAttention

        if kind == "lstm":
            return Case(DPLSTM(8, 4, batch_first=True), (torch.rand(2, 5, 8),))
        if kind == "attention":
            return Case(DPMultiheadAttention(8, 2), tuple(torch.rand(5, 2, 8) for _ in range(3)))
        return Case(GradSampleModule(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))), (x.clone(),))

    for kind in ("lstm", "attention", "grad samples"):
        yield f"opacus {kind}", lambda kind=kind: opacus(kind)

    def metric_learning(name: str, **more) -> Case:
        from pytorch_metric_learning import losses

        return Case(getattr(losses, name)(**more), (torch.rand(6, 8), torch.tensor([0, 0, 1, 1, 2, 2])))

    for name, more in {
        "TripletMarginLoss": {},
        "NTXentLoss": {},
        "ArcFaceLoss": {"num_classes": 3, "embedding_size": 8},
        "ContrastiveLoss": {},
        "ProxyAnchorLoss": {"num_classes": 3, "embedding_size": 8},
        "SupConLoss": {},
        "MultiSimilarityLoss": {},
    }.items():
        yield f"pytorch-metric-learning {name}", lambda name=name, more=more: metric_learning(name, **more)

    def neuralop(kind: str) -> Case:
        from neuralop import models

        if kind == "FNO":
            return Case(
                models.FNO(n_modes=(4, 4), hidden_channels=8, in_channels=1, out_channels=1, n_layers=2),
                (torch.rand(1, 1, 16, 16),),
            )
        if kind == "TFNO":
            return Case(
                models.TFNO(
                    n_modes=(4, 4),
                    hidden_channels=8,
                    in_channels=1,
                    out_channels=1,
                    n_layers=1,
                    factorization="tucker",
                    rank=0.5,
                ),
                (torch.rand(1, 1, 16, 16),),
            )
        if kind == "UNO":
            return Case(
                models.UNO(
                    1,
                    1,
                    8,
                    n_layers=3,
                    uno_out_channels=[8, 8, 8],
                    uno_n_modes=[[4, 4]] * 3,
                    uno_scalings=[[0.5, 0.5], [1, 1], [2, 2]],
                    horizontal_skips_map={2: 0},
                    channel_mlp_skip="linear",
                ),
                (torch.rand(1, 1, 16, 16),),
            )
        return Case(
            models.SFNO(n_modes=(4, 4), hidden_channels=8, in_channels=1, out_channels=1, n_layers=1),
            (torch.rand(1, 1, 16, 16),),
        )

    for kind in ("FNO", "TFNO", "UNO"):
        yield f"neuraloperator {kind}", lambda kind=kind: neuralop(kind)

    class Ode(nn.Module):
        def __init__(self, method: str, adjoint: bool) -> None:
            super().__init__()
            self.net, self.method, self.adjoint = nn.Linear(8, 8), method, adjoint
            self.calls = 0

        def field(self, t, y):
            self.calls += 1
            return self.net(y)

        def forward(self, x):
            from torchdiffeq import odeint

            return odeint(self.field, x, torch.linspace(0, 1, 3), method=self.method)[-1]

    for method in ("euler", "rk4", "dopri5"):
        yield f"torchdiffeq {method}", lambda method=method: Case(Ode(method, False), (x.clone(),))

    def adjoint() -> Case:
        from torchdiffeq import odeint_adjoint

        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = nn.Linear(8, 8)

            def forward(self, t, y):
                return self.net(y)

        class Whole(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.field = Net()

            def forward(self, x):
                return odeint_adjoint(self.field, x, torch.linspace(0, 1, 3), method="rk4")[-1]

        return Case(Whole(), (x.clone(),))

    yield "torchdiffeq adjoint", adjoint

    def sde() -> Case:
        import torchsde

        class Sde(nn.Module):
            noise_type, sde_type = "diagonal", "ito"

            def __init__(self) -> None:
                super().__init__()
                self.mu, self.sigma = nn.Linear(8, 8), nn.Linear(8, 8)

            def f(self, t, y):
                return self.mu(y)

            def g(self, t, y):
                return self.sigma(y).sigmoid()

            def forward(self, y):
                return torchsde.sdeint(self, y, torch.linspace(0, 1, 2), dt=0.25, method="euler")

        return Case(Sde(), (x.clone(),))

    yield "torchsde", sde

    def gp(train: bool) -> Case:
        import gpytorch

        class Gp(gpytorch.models.ExactGP):
            def __init__(self, x, y, likelihood) -> None:
                super().__init__(x, y, likelihood)
                self.mean_module = gpytorch.means.ConstantMean()
                self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())

            def forward(self, x):
                return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

        given = torch.linspace(0, 1, 10)[:, None]
        model = Gp(given, torch.sin(given[:, 0]), gpytorch.likelihoods.GaussianLikelihood())
        return Case(model, (given if train else torch.rand(4, 1),), training=train)

    yield "gpytorch exact, training", lambda: gp(train=True)
    yield "gpytorch exact, predicting", lambda: gp(train=False)

    def kan() -> Case:
        from kan import KAN

        return Case(KAN(width=[2, 3, 1], grid=3, k=3, seed=0, auto_save=False), (torch.rand(4, 2),))

    yield "pykan", kan

    def perceptual(which: str) -> Case:
        two = (torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))
        if which == "lpips":
            import lpips

            return Case(lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False), two)
        if which == "msssim":
            from pytorch_msssim import SSIM

            return Case(SSIM(data_range=1, channel=3), two)
        import piq

        return Case(getattr(piq, which)(), two)

    for which in (
        "lpips",
        "msssim",
        "SSIMLoss",
        "VIFLoss",
        "GMSDLoss",
        "FSIMLoss",
        "TVLoss",
        "HaarPSILoss",
        "VSILoss",
        "MDSILoss",
    ):
        yield (
            f"perceptual {which}",
            lambda which=which: (
                perceptual(which)
                if which != "TVLoss"
                else Case(__import__("piq").TVLoss(), (torch.rand(1, 3, 32, 32),))
            ),
        )

    def facenet() -> Case:
        from facenet_pytorch import InceptionResnetV1

        return Case(InceptionResnetV1(pretrained=None, classify=False), (torch.rand(1, 3, 96, 96),))

    yield "facenet InceptionResnetV1", facenet

    def quantized(name: str, **more) -> Case:
        import vector_quantize_pytorch as v

        return Case(getattr(v, name)(**more), (torch.rand(1, 16, 8),), training=more.get("train", False))

    for name, more in {
        "VectorQuantize": {"dim": 8, "codebook_size": 16},
        "ResidualVQ": {"dim": 8, "codebook_size": 16, "num_quantizers": 2},
        "FSQ": {"levels": [4, 4], "dim": 8},
        "LFQ": {"codebook_size": 16, "dim": 8},
        "GroupedResidualVQ": {"dim": 8, "codebook_size": 16, "num_quantizers": 2, "groups": 2},
        "RandomProjectionQuantizer": {"dim": 8, "codebook_size": 16, "codebook_dim": 4, "num_codebooks": 2},
    }.items():
        yield f"vector-quantize {name}", lambda name=name, more=more: quantized(name, **more)

    def diffusion(which: str) -> Case:
        import denoising_diffusion_pytorch as d

        if which == "Unet":
            return Case(
                d.Unet(dim=8, dim_mults=(1, 2), attn_dim_head=4, attn_heads=2), (image.clone(), torch.tensor([3]))
            )
        net = d.Unet(dim=8, dim_mults=(1, 2), attn_dim_head=4, attn_heads=2)
        return Case(d.GaussianDiffusion(net, image_size=32, timesteps=10, sampling_timesteps=2), (image.clone(),))

    yield "denoising-diffusion Unet", lambda: diffusion("Unet")
    yield "denoising-diffusion loss", lambda: diffusion("GaussianDiffusion")

    def adapted(kind: str) -> Case:
        import peft
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=30,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=16,
        )
        chosen = {
            "LoRA": lambda: peft.LoraConfig(r=2, target_modules=["query", "value"]),
            "DoRA": lambda: peft.LoraConfig(r=2, target_modules=["query"], use_dora=True),
            "IA3": lambda: peft.IA3Config(target_modules=["key", "value"], feedforward_modules=[]),
            "AdaLoRA": lambda: peft.AdaLoraConfig(target_modules=["query"], total_step=10),
            "OFT": lambda: peft.OFTConfig(target_modules=["query"], oft_block_size=4),
        }[kind]()
        return Case(peft.get_peft_model(BertModel(config), chosen), (), {"input_ids": torch.randint(30, (1, 6))})

    for kind in ("LoRA", "DoRA", "IA3", "AdaLoRA", "OFT"):
        yield f"peft {kind}", lambda kind=kind: adapted(kind)

    def sam() -> Case:
        from segment_anything.modeling import ImageEncoderViT

        return Case(
            ImageEncoderViT(
                img_size=64,
                patch_size=16,
                embed_dim=16,
                depth=2,
                num_heads=2,
                out_chans=8,
                use_rel_pos=True,
                window_size=2,
                global_attn_indexes=(1,),
            ),
            (torch.rand(1, 3, 64, 64),),
        )

    yield "segment-anything encoder", sam

    def efficient() -> Case:
        from efficientnet_pytorch import EfficientNet

        return Case(EfficientNet.from_name("efficientnet-b0", num_classes=4), (torch.rand(1, 3, 32, 32),))

    yield "efficientnet_pytorch", efficient

    def mamba(parallel: bool) -> Case:
        from mambapy.mamba import Mamba, MambaConfig

        return Case(Mamba(MambaConfig(d_model=8, n_layers=1, d_state=4, pscan=parallel)), (torch.rand(1, 8, 8),))

    yield "mambapy scan", lambda: mamba(True)
    yield "mambapy sequential", lambda: mamba(False)

    def liquid(kind: str) -> Case:
        from ncps.torch import LTC, CfC
        from ncps.wirings import AutoNCP

        return Case((CfC if kind == "CfC" else LTC)(8, AutoNCP(8, 2)), (torch.rand(2, 5, 8),))

    yield "ncps CfC", lambda: liquid("CfC")
    yield "ncps LTC", lambda: liquid("LTC")

    def encodec() -> Case:
        from encodec.modules import SEANetDecoder, SEANetEncoder

        return Case(
            nn.Sequential(
                SEANetEncoder(dimension=8, n_filters=4, ratios=[4, 2], lstm=1),
                SEANetDecoder(dimension=8, n_filters=4, ratios=[4, 2], lstm=1),
            ),
            (torch.rand(1, 1, 64),),
        )

    yield "encodec SEANet", encodec

    def lucid(which: str) -> Case:
        if which == "conformer":
            from conformer import Conformer

            return Case(
                Conformer(dim=16, depth=1, dim_head=8, heads=2, ff_mult=2, conv_expansion_factor=2, conv_kernel_size=5),
                (torch.rand(1, 12, 16),),
            )
        if which == "tab-transformer":
            from tab_transformer_pytorch import TabTransformer

            return Case(
                TabTransformer(categories=(4, 5), num_continuous=3, dim=8, dim_out=1, depth=1, heads=2),
                (torch.randint(4, (2, 2)), torch.rand(2, 3)),
            )
        if which == "ft-transformer":
            from tab_transformer_pytorch import FTTransformer

            return Case(
                FTTransformer(categories=(4, 5), num_continuous=3, dim=8, dim_out=1, depth=1, heads=2),
                (torch.randint(4, (2, 2)), torch.rand(2, 3)),
            )
        if which == "linformer":
            from linformer import Linformer

            return Case(Linformer(dim=16, seq_len=8, depth=1, heads=2, k=4), (torch.rand(1, 8, 16),))
        if which == "reformer":
            from reformer_pytorch import ReformerLM

            return Case(
                ReformerLM(num_tokens=30, dim=16, depth=1, max_seq_len=16, heads=2, bucket_size=4, n_hashes=2),
                (torch.randint(30, (1, 16)),),
            )
        if which == "linear attention":
            from linear_attention_transformer import LinearAttentionTransformerLM

            return Case(
                LinearAttentionTransformerLM(num_tokens=30, dim=16, heads=2, depth=1, max_seq_len=16),
                (torch.randint(30, (1, 16)),),
            )
        from rotary_embedding_torch import RotaryEmbedding

        class Rotated(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.rotary, self.out = RotaryEmbedding(dim=8), nn.Linear(8, 8)

            def forward(self, x):
                return self.out(self.rotary.rotate_queries_or_keys(x))

        return Case(Rotated(), (torch.rand(1, 2, 6, 8),))

    for which in (
        "conformer",
        "tab-transformer",
        "ft-transformer",
        "linformer",
        "reformer",
        "linear attention",
        "rotary",
    ):
        yield f"lucidrains {which}", lambda which=which: lucid(which)

    def protein() -> Case:
        from esm.model.esm2 import ESM2

        return Case(ESM2(num_layers=1, embed_dim=16, attention_heads=2), (torch.randint(4, 20, (1, 8)),))

    yield "fair-esm ESM2", protein

    def sentences() -> Case:
        from sentence_transformers.models import Dense, Normalize, Pooling

        return Case(
            nn.Sequential(Pooling(8), Dense(8, 4), Normalize()),
            ({"token_embeddings": torch.rand(1, 5, 8), "attention_mask": torch.ones(1, 5, dtype=torch.long)},),
        )

    yield "sentence-transformers head", sentences

    def clip(kind: str) -> Case:
        from open_clip.model import CLIP

        towers = {
            "embed_dim": 8,
            "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16}
            if kind == "ViT"
            else {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
            "text_cfg": {"context_length": 8, "vocab_size": 30, "width": 16, "heads": 2, "layers": 1},
        }
        return Case(
            CLIP(**towers), (image.clone() if kind == "ViT" else torch.rand(1, 3, 64, 64), torch.randint(30, (1, 8)))
        )

    yield "open_clip ViT", lambda: clip("ViT")
    yield "open_clip ResNet", lambda: clip("ResNet")

    def tcn() -> Case:
        from pytorch_tcn import TCN

        return Case(TCN(num_inputs=4, num_channels=[8, 8], kernel_size=3), (torch.rand(1, 4, 20),))

    yield "pytorch-tcn", tcn

    def tabnet() -> Case:
        from pytorch_tabnet.tab_network import TabNet

        return Case(TabNet(6, 2, n_d=4, n_a=4, n_steps=2, group_attention_matrix=torch.eye(6)), (torch.rand(4, 6),))

    yield "pytorch-tabnet", tabnet
