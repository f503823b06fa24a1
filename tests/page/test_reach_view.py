"""The receptive field viewer: what it says of a unit is what the Report says of it."""

import re

import pytest
import torch
from torch import nn

import cnncost
from tests.samples import sample


class Mixed(nn.Module):
    """Axes that are swapped, windows that overlap, and a layer that sees all."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, (3, 5), stride=(2, 1), padding=(1, 0))
        self.turned = nn.Identity()
        self.pool = nn.MaxPool2d(2)
        self.all = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        x = self.conv(x).transpose(2, 3).contiguous()
        return self.all(self.pool(self.turned(x)))


class Sound(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv1d(1, 4, 9, stride=4, padding=4)
        self.b = nn.Conv1d(4, 4, 3, dilation=2)

    def forward(self, x):
        return self.b(self.a(x))


MODELS = {
    "lenet5": lambda: cnncost.analyze("lenet5"),
    "mixed": lambda: cnncost.analyze(Mixed().eval(), "1x1x18x14"),
    "sound": lambda: cnncost.analyze(Sound().eval(), "1x1x64"),
    "volume": lambda: cnncost.analyze(nn.Sequential(nn.Conv3d(1, 2, 3), nn.MaxPool3d(2)).eval(), "1x1x8x10x12"),
}
CASES = [
    ("lenet5", "c3"), ("lenet5", "s4"), ("mixed", "conv"), ("mixed", "turned"), ("mixed", "pool"), ("sound", "b"),
    ("volume", "1"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "layer"), sample(CASES, 4))
def test_a_unit_sees_what_the_report_says(model, layer, opened):
    report = MODELS[model]()
    page = opened(report.to_html())
    page.get_by_role("button", name="Open all").click()
    page.locator(f"[data-row] .name[title='{layer}']").click()
    sliders = page.locator(".sliders input").all()
    sizes = [int(slider.get_attribute("max")) + 1 for slider in sliders]
    for unit in ([0] * len(sizes), [n - 1 for n in sizes], [n // 3 for n in sizes]):
        for slider, place in zip(sliders, unit, strict=True):
            slider.fill(str(place))
        said = page.locator(".reach [role=status]").inner_text()
        assert said.startswith(f"Unit ({', '.join(map(str, unit))}) of {'×'.join(map(str, sizes))} of {layer} sees ")
        box = report.receptive_field(layer, unit=unit).box
        assert [(int(a), int(b)) for a, b in re.findall(r"(\d+) to (\d+)", said)] == list(box)


def test_numbers_are_the_reports(report, opened):
    page = opened(report.html("lenet5"))
    page.locator("[data-row] .name[title='s4']").click()
    field = report("lenet5").receptive_field("s4")
    assert page.locator("[data-field=field]").inner_text() == str(field.size[0])
    assert page.locator("[data-field=jump]").inner_text() == str(field.jump[0])


def test_the_map_chooses_a_unit(report, opened):
    page = opened(report.html("lenet5"), height=3500)
    page.locator("[data-row] .name[title='s2']").click()
    box = page.locator(".map").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + box["height"] * 0.01)
    assert "Unit (0, 13) of 14×14" in page.locator(".reach [role=status]").inner_text()


PIXEL = """([x, y]) => {
  const shown = document.querySelector('.input');
  const copy = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const pen = copy.getContext('2d', {willReadFrequently: true});
  pen.drawImage(shown, -Math.round(shown.width * x), -Math.round(shown.height * y));
  return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


def until(page, x, y, wanted):
    """The colour there, which comes when a picture has been read; after five seconds whatever is there."""
    for _ in range(50):
        if wanted(*(colour := page.evaluate(PIXEL, [x, y]))):
            break
        page.wait_for_timeout(100)
    return colour


def test_the_field_is_light_and_the_rest_dark(report, opened):
    page = opened(report.html("lenet5"))
    page.locator("[data-row] .name[title='c1']").click()
    for slider in page.locator(".sliders input").all():
        slider.fill("0")
    inside, outside = (sum(page.evaluate(PIXEL, at)) for at in ([0.07, 0.07], [0.5, 0.07]))
    assert inside > 1.5 * outside


def test_a_picture_of_ones_own(report, opened, tmp_path):
    from matplotlib import image

    file = tmp_path / "red.png"
    image.imsave(file, torch.tensor([[[1.0, 0.0, 0.0]] * 8] * 8).numpy())
    page = opened(report.html("lenet5"))
    page.locator("[data-row] .name[title='c1']").click()
    page.get_by_label("a picture of your own").set_input_files(file)
    red, green, blue = until(page, 0.45, 0.47, lambda red, green, blue: (red > 200, green, blue) == (True, 0, 0))
    assert (red > 200, green, blue) == (True, 0, 0)


def test_a_dropped_picture(report, opened):
    page = opened(report.html("lenet5"))
    page.evaluate(
        """async () => {
          const canvas = Object.assign(document.createElement('canvas'), {width: 4, height: 4});
          const pen = canvas.getContext('2d'); pen.fillStyle = '#00f'; pen.fillRect(0, 0, 4, 4);
          const blob = await new Promise(done => canvas.toBlob(done));
          const data = new DataTransfer();
          data.items.add(new File([blob], 'blue.png', {type: 'image/png'}));
          const how = {bubbles: true, cancelable: true, dataTransfer: data};
          document.querySelector('.input').dispatchEvent(new DragEvent('drop', how));
        }"""
    )
    red, _, blue = until(page, 0.1, 0.1, lambda red, green, blue: red < 5 and blue > 60)
    assert red < 5
    assert blue > 60


def test_what_is_no_picture_is_said(report, opened, tmp_path):
    (tmp_path / "x.png").write_text("no picture")
    page = opened(report.html("lenet5"))
    page.get_by_label("a picture of your own").set_input_files(tmp_path / "x.png")
    said = page.get_by_text("x.png: not a picture that this browser can show")
    said.wait_for()
    assert said.is_visible()


def test_text_has_no_field(opened):
    page = opened(cnncost.analyze(nn.Sequential(nn.Linear(4, 4)), "2x4").to_html())
    assert "none of the inputs has spatial axes" in page.locator(".reach").inner_text()
