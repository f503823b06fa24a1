"""ViT-B/16 (Dosovitskiy et al. 2021) written with torch's own encoder, as users write it."""

import torch
from torch import nn


class ViT(nn.Module):
    """224x224 images in 16x16 patches, 12 layers of width 768 with 12 heads."""

    def __init__(self, width=768, depth=12, heads=12, patch=16, classes=1000):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, activation="gelu", batch_first=True, norm_first=True
        )
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, (224 // patch) ** 2 + 1, width))
        self.encoder = nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    def forward(self, image):
        tokens = self.patches(image).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(image), -1, -1), tokens], dim=1) + self.position
        return self.head(self.encoder(tokens)[:, 0])
