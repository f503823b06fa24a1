"""ResNet and its plain counterparts."""

from cnncost.zoo.entry import Entry, Figure

__all__ = ["ENTRIES"]

PAPER = "He, Zhang, Ren, Sun 2015, Deep Residual Learning for Image Recognition, arXiv 1512.03385"
GEOMETRY = "from table 1"
TORCHVISION = "torchvision, num_params in its model metadata"
PROJECTION = 'projection shortcuts (option B); the paper\'s first comparison has option A: shortcut="A"'
TWO_DIGITS = "printed to two digits"
CUT_OFF = "truncated to two digits: 3.86"
OPTION_B = "printed to two digits for option A, 3.64; the projections of option B make it 3.66"


def _entry(
    name: str,
    title: str,
    deviations: tuple[str, ...],
    flops: float,
    reason: str,
    *exact: Figure,
    tolerance: float = 0.05,
) -> Entry:
    """Return an entry. `flops` is from table 1's last row, in 10^9 multiply-adds; `tolerance` is in the same unit."""
    printed = Figure(
        "macs",
        round(flops * 10) * 100_000_000,  # an int: flops * 10**9 is not exact
        f"{flops} x 10^9 FLOPs (multiply-adds)",
        tolerance=tolerance / flops,
        reason=reason,
        source="table 1",
    )
    return Entry(
        name=name,
        builder=f"cnncost.zoo.resnet:{name}",
        input="1x3x224x224",
        title=title,
        family="resnet",
        paper=f"{PAPER}, table 1",
        deviations=deviations,
        published=(printed, *exact),
    )


ENTRIES = (
    _entry(
        "resnet18",
        "ResNet-18",
        (PROJECTION,),
        1.8,
        TWO_DIGITS,
        Figure("params", 11_689_512, source=TORCHVISION),
        Figure("macs", 1_814_073_344, source=GEOMETRY),
    ),
    _entry(
        "resnet34",
        "ResNet-34",
        (PROJECTION,),
        3.6,
        OPTION_B,
        Figure("params", 21_797_672, source=TORCHVISION),
        Figure("macs", 3_663_761_408, source=GEOMETRY),
        tolerance=0.07,
    ),
    _entry(
        "resnet50",
        "ResNet-50",
        (),
        3.8,
        CUT_OFF,
        Figure("params", 25_557_032, source=TORCHVISION),
        Figure("macs", 3_857_973_248, source=GEOMETRY),
        tolerance=0.06,
    ),
    _entry(
        "resnet101",
        "ResNet-101",
        (),
        7.6,
        TWO_DIGITS,
        Figure("params", 44_549_160, source=TORCHVISION),
        Figure("macs", 7_570_194_432, source=GEOMETRY),
    ),
    _entry(
        "resnet152",
        "ResNet-152",
        (),
        11.3,
        "printed to three digits",
        Figure("params", 60_192_808, source=TORCHVISION),
        Figure("macs", 11_282_415_616, source=GEOMETRY),
    ),
    _entry(
        "plain18",
        "plain-18",
        (),
        1.8,
        TWO_DIGITS,
        Figure("params", 11_515_688, source=GEOMETRY),
        Figure("macs", 1_794_805_760, source=GEOMETRY),
    ),
    _entry(
        "plain34",
        "plain-34",
        (),
        3.6,
        TWO_DIGITS,
        Figure("params", 21_623_848, source=GEOMETRY),
        Figure("macs", 3_644_493_824, source=GEOMETRY),
    ),
)
