"""How parameters and MACs of ResNet-18 grow with its width, as a pandas table.

python examples/compare_widths.py
"""

import pandas as pd

import cnncost


def main() -> None:
    """One analysis a width; no weights are ever made."""
    rows = []
    for width in (0.25, 0.5, 1.0, 2.0):
        totals = cnncost.analyze("resnet18", model_args={"width": width}).totals
        rows.append({"width": width, "params": totals.params, "MACs": totals.macs, "FLOPs": totals.flops})
    table = pd.DataFrame(rows).set_index("width")
    table["MACs per parameter"] = (table["MACs"] / table["params"]).round(1)
    print(table.to_string())


if __name__ == "__main__":
    main()
