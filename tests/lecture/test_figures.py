"""Every figure on the slides: the printed figure, the right one, derived by hand, and the verdict.

The exact figures are products of the layers' sizes, written out here; none is read from the lecture package.
"""

import pytest

E, R, D, S = "exact", "rounded", "differs", "stated"

FC1, FC2, FC3 = 300 * 28 * 28, 100 * 300, 10 * 100
LENET300 = FC1 + FC2 + FC3
CONV6 = 6 * 25 + 6
FC100 = 100 * 6 * 28 * 28
ALEXNET_CONV = sum((
    96 * (11 * 11 * 3 + 1), 256 * (5 * 5 * 96 + 1), 384 * (9 * 256 + 1), 384 * (9 * 384 + 1), 256 * (9 * 384 + 1),
))  # fmt: skip
ALEXNET = ALEXNET_CONV + 4096 * (256 * 36 + 1) + 4096 * 4097 + 1000 * 4097


def vgg(*convs):
    """Parameters of convolutions (in, out, side) and of VGG's three fully connected layers."""
    return sum(o * (i * k * k + 1) for i, o, k in convs) + 4096 * (512 * 49 + 1) + 4096 * 4097 + 1000 * 4097


A = [(3, 64, 3), (64, 128, 3), (128, 256, 3), (256, 256, 3), (256, 512, 3), *[(512, 512, 3)] * 3]
B = [*A, (64, 64, 3), (128, 128, 3)]

FIGURES = [
    # slide, what, as printed, exact, verdict
    (3, "images", "60k digits images", None, S),
    (3, "image size", "28x28", (28, 28), E),
    (3, "image size, framed", "32x32", (32, 32), E),
    (3, "classes", "C=10", 10, E),
    (4, "vector", "784 px", 28 * 28, E),
    (5, "inputs", "28x28 = 784", 28 * 28, E),
    (5, "vector in the figure", "768 px", 28 * 28, D),
    (6, "FC-300", "300 * (28*28) = 230k", FC1, R),
    (6, "FC-100", "100 * 300 = 30k", FC2, E),
    (6, "FC-10", "10 * 100 = 1k", FC3, E),
    (6, "layer of m units, n inputs", "m * (1+n)", True, E),
    (6, "the same, simplified", "~ m * n", True, E),
    (6, "what grows with the image", "larger images (larger m)", "n", D),
    (25, "feature map", "4 3 4 / 2 4 3 / 2 3 4", "4 3 4 / 2 4 3 / 2 3 4", E),
    (26, "feature map", "3x3", (3, 3), E),
    (28, "last product", "z = w1 x1 +... + w9 x13", 13, E),
    (29, "products of a neuron", "z = w1 x1 +... + w9 x13", 9, E),
    (31, "feature map of a 28 px image", "26 «px»", 26, E),
    (32, "image with zeros around it", "30 px", 30, E),
    (32, "feature map", "28 «px»", 28, E),
    (34, "a convolution of several channels", "co-located features are summed", True, E),
    (37, "number of parameters", "-> memory required", True, E),
    (37, "number of operations", "-> hardware capability (FLOPs, MACs…)", None, S),
    (38, "FC layer", "n_out * (1+ n_in)", True, E),
    (38, "inputs, for example", "n_in = 28²", 784, E),
    (39, "conv layer", "m * (1+F²) * #ch", False, D),
    (40, "FC-300", "300 * (28*28) = 230k", FC1, R),
    (40, "FC-100", "100 * 300 = 30k", FC2, E),
    (40, "FC-10", "10 * 100 = 1k", FC3, E),
    (41, "FC-300", "300 * (28*28) = 235k", FC1, R),
    (41, "FC-100", "100 * 300 = 30k", FC2, E),
    (41, "FC-10", "10 * 100 = 1k", FC3, E),
    (43, "feature maps", "6 feature maps", 6, E),
    (44, "first layer of LeNet-300", "230k", FC1, R),
    (44, "first layer, Conv-6", "60 params!", CONV6, D),
    (44, "Conv-6", "6 * (5x5 +1) x1 = 156", CONV6, E),
    (45, "total of LeNet-300", "260k", LENET300, R),
    (45, "total with Conv-6", "400k params!", CONV6 + FC100 + 100 + 1_010, D),
    (45, "FC-100", "100 * (6 * (28x28)) = 400k", FC100, D),
    (45, "total", "~260k", LENET300, R),
    (45, "total", "~400k", CONV6 + FC100 + 100 + 1_010, D),
    (45, "features", "6 x (28x28) = 4700 features", 6 * 784, R),
    (46, "total of LeNet-300", "266k", LENET300, R),
    (46, "total with Conv-6, MACs", "400k params!", 6 * 25 * 784 + FC100 + 1_000, D),
    (46, "Conv-6", "6 * (5x5 +1) * (24*24*1) = 86k", 6 * 25 * 24 * 24, R),
    (46, "FC-100", "100 * (6 * (28x28)) = 400k", FC100, D),
    (46, "total", "~266k", LENET300, R),
    (46, "total", "~486k", 6 * 25 * 784 + FC100 + 1_000, D),
    (46, "formula of Conv-6", "6 * (5x5 +1) * (24*24*1)", 6 * 25 * 24 * 24, D),
    (46, "maps that FC-100 reads", "28x28", (24, 24), D),
    (48, "pooled area", "2x2", (2, 2), E),
    (49, "feature map after the pooling", "14x14", (14, 14), E),
    (50, "receptive field after the convolution", "5x5", (5, 5), E),
    (50, "receptive field after the pooling", "6x6", (6, 6), E),
    (51, "stride", "S=2", 2, E),
    (51, "feature map", "14x14", (14, 14), E),
    (51, "pooling layers", "no MaxPooling", 0, E),
    (52, "total of LeNet-300", "~260k", LENET300, R),
    (52, "total with pooling", "~160k params", CONV6 + 100 * (6 * 196 + 1) + 1_010, D),
    (52, "FC-100", "100 * (6 * (14x14)) = 117k", 100 * 6 * 196, R),
    (52, "total", "~118k", CONV6 + 100 * (6 * 196 + 1) + 1_010, R),
    (53, "output", "14x14 «image»", (14, 14), E),
    (53, "its channels", "six «channels»", 6, E),
    (54, "output", "7x7 «image»", (7, 7), E),
    (54, "its channels", "16 «channels»", 16, E),
    (55, "total with two convolutions", "~82k params", CONV6 + 16 * 151 + 100 * 785 + 1_010, R),
    (55, "Conv-6", "6 * (5x5 +1) * 1 = 156", CONV6, E),
    (55, "Conv-10", "16 * (5x5 +1) * 6 = 2496*", 16 * (25 * 6 + 1), D),
    (55, "FC-100", "100 * ((16 * 7x7) +1) = 78k", 100 * (16 * 49 + 1), R),
    (55, "FC-10", "10 * 100 = 1k", 1_000, E),
    (55, "total", "~82k", CONV6 + 16 * 151 + 100 * 785 + 1_010, R),
    (55, "name of the second layer", "Conv-10", "Conv-16", D),
    (55, "second filters, by channel", "16x6 filters", 96, E),
    (56, "FC-10: 1 FC output layer (10 U)", "12.0 %", None, S),
    (56, "FC-300-10: 1 hidden FC (300 U), 1 output FC (10 U)", "4.7 %", None, S),
    (56, "LeNet-300: 2 hidden FCs (300 + 100 U), 1 output FC (10 U)", "3.05 %", None, S),
    (56, "LeNet-1: 2 Conv (3 F), 1 output FC", "1.7 %", None, S),
    (56, "LeNet-5: 2 conv (6+16 F), 3 FC layer", "0.95 %", None, S),
    (56, "LeNet-1, filters", "3 F", "4 and 12", D),
    (56, "LeNet-5, its name on the slide", "LeNet300", "LeNet-5", D),
    (56, "in parameters", "Better performance for lower complexity", LENET300 > 60_000, E),
    (56, "in MACs", "Better performance for lower complexity", LENET300 > 325_680, D),
    (57, "filters", "5x5", (5, 5), E),
    (57, "a digit", "at least 20x20 pixels", None, S),
    (57, "receptive field", "its back-projection through the pooling and convolutional layers", True, E),
    (72, "C1, trainable parameters", "156 trainable parameters", 6 * 26, E),
    (72, "C1, connections", "122,304 connections", 6 * 26 * 784, E),
    (72, "S2, trainable parameters", "12 trainable parameters", 6 * 2, E),
    (72, "S2, connections", "5,880 connections", 5 * 6 * 196, E),
    (72, "C3, trainable parameters", "1,516 trainable parameters", 60 * 25 + 16, E),
    (72, "C3, connections", "151,600 connections", 1_516 * 100, E),
    (72, "S4, trainable parameters", "32 trainable parameters", 16 * 2, E),
    (72, "S4, connections", "2,000 connections", 5 * 16 * 25, E),
    (72, "C5, connections", "48,120 trainable connections", 120 * (16 * 25 + 1), E),
    (72, "F6, trainable parameters", "10,164 trainable parameters", 84 * 121, E),
    (72, "all, trainable parameters", "60,000 trainable free parameters", 60_000, E),
    (72, "all, connections", "340,908 connections", 340_908, E),
    (73, "robustness", "shift invariance, noise robustness, multiple characters, overlaps", None, S),
    (75, "speed of the DSP", "12.5 million multiply-accumulate operations per second", None, S),
    (75, "H1, parameters", "104", 4 * 26, E),
    (75, "H1, connections", "59,904", 4 * 26 * 576, E),
    (75, "H2, connections", "2,880", 5 * 4 * 144, E),
    (75, "H3, parameters", "512", 20 * 25 + 12, E),
    (75, "H3, connections", "32,768", 512 * 64, E),
    (75, "H4, connections", "960", 5 * 12 * 16, E),
    (75, "output, parameters", "1,930", 10 * (192 + 1), E),
    (75, "all, parameters", "2578 independent parameters", 104 + 8 + 512 + 24 + 1_930, E),
    (75, "all, connections", "98442 connections", 59_904 + 2_880 + 32_768 + 960 + 1_930, E),
    (76, "image size", "32x32", None, S),
    (77, "loss of accuracy", "-50%", None, S),
    (79, "classes", "1000 object classes", 1_000, E),
    (79, "image size", "224x224", (224, 224), E),
    (81, "convolutional layers", "5 convolutional layers", 5, E),
    (81, "fully connected layers", "3 fully connected layers", 3, E),
    (81, "parameters", "62.3 M parameters", ALEXNET, R),
    (81, "convolutions' share of the time", "95% of time", None, S),
    (82, "memory of each of the two GPUs, in GB", "two GTX580 GPUs (2GB memory each)", 3, D),  # NIPS 2012, sec. 3.2
    (82, "training time", "5~6 days", None, S),
    (82, "epochs", "90 epochs", None, S),
    (83, "AlexNet's convolutions", "5 Conv", 5, E),
    (83, "LeNet-5's convolutions", "w.r.t. 3", 3, E),
    (83, "activations", "ReLU", "ReLU", E),
    (83, "dropout", "dropout before FC layers", True, E),
    (84, "top-5 error", "16.4%", None, S),
    (84, "first filters", "11x11", (11, 11), E),
    (85, "convolutional layers of the deepest", "up to 19 convolutional layers", 16, D),
    (85, "filters", "3x3 filters everywhere", (3, 3), E),
    (85, "filters of configuration C", "3x3 filters everywhere", "1×1, 3×3", D),
    (85, "two 3×3 filters see", "5×5", (5, 5), E),
    (86, "A, parameters", "133 million", vgg(*A), R),
    (86, "A-LRN, parameters", "133 million", vgg(*A), R),
    (86, "B, parameters", "133 million", vgg(*B), R),
    (86, "C, parameters", "134 million", vgg(*B, (256, 256, 1), (512, 512, 1), (512, 512, 1)), R),
    (86, "D, parameters", "138 million", vgg(*B, (256, 256, 3), (512, 512, 3), (512, 512, 3)), R),
    (86, "E, parameters", "144 million", vgg(*B, *[(256, 256, 3)] * 2, *[(512, 512, 3)] * 4), R),
    (86, "E, layers", "19 weight layers", 19, E),
    (87, "top-5 error, second in 2014", "7,3%", None, S),
    (91, "ResNet-18, layers", "18 layers", 18, E),
    (91, "ResNet-34, layers", "34 layers", 34, E),
    (91, "ResNet-50, layers", "50 layers", 50, E),
    (91, "ResNet-101, layers", "101 layers", 101, E),
    (91, "ResNet-152, layers", "151 layers", 152, D),
    (91, "pooling", "(almost) pool-less", True, E),
    (91, "ResNet-18, multiply-adds", "1.8 x 10^9 FLOPs (multiply-adds)", 1_814_073_344, R),
    (91, "ResNet-34, multiply-adds", "3.6 x 10^9 FLOPs (multiply-adds)", 3_663_761_408, R),
    (91, "ResNet-50, multiply-adds", "3.8 x 10^9 FLOPs (multiply-adds)", 3_857_973_248, R),
    (91, "ResNet-101, multiply-adds", "7.6 x 10^9 FLOPs (multiply-adds)", 7_570_194_432, R),
    (91, "ResNet-152, multiply-adds", "11.3 x 10^9 FLOPs (multiply-adds)", 11_282_415_616, R),
    (92, "products of small factors", "values in magnitude < 1: gradient vanishing", True, E),
    (92, "20 layers", "more evident on sigmoid-activated models", True, E),
    (93, "training", "gradient backprop easier", None, S),
    (94, "ResNet-18 less plain-18, MACs", "no extra MACs", 0, E),
    (94, "ResNet-34 less plain-34, parameters", "no extra parameters", 0, E),
    (95, "depth and error", "deeper gets better", None, S),
]


@pytest.mark.parametrize(("slide", "what", "printed", "exact", "verdict"), FIGURES)
def test_figure(findings, slide, what, printed, exact, verdict):
    same = [f for f in findings if (f.slide.number, f.claim.what, f.printed) == (slide, what, printed)]
    assert same
    for found in same:  # FC-10 is in both halves of a table
        assert found.verdict == verdict
        assert (found.exact.value if found.exact else None) == exact


SHARES = [
    # slide, what, as printed, part, whole
    (6, "share of the first FC layer", "88%", FC1, LENET300),
    (81, "convolutions' share of the parameters", "conv layers 6%", ALEXNET_CONV, ALEXNET),
]


@pytest.mark.parametrize(("slide", "what", "printed", "part", "whole"), SHARES)
def test_share(findings, slide, what, printed, part, whole):
    (found,) = [f for f in findings if (f.slide.number, f.claim.what, f.printed) == (slide, what, printed)]
    assert found.verdict == R
    assert found.exact.value * whole == 100 * part
    assert found.exact.unit == "%"


BESIDE = [
    # slide, what, words, text
    (6, "FC-300", "with biases", "235,500"),
    (6, "FC-100", "with biases", "30,100"),
    (6, "FC-10", "with biases", "1,010"),
    (37, "number of parameters", "its bytes", "1,066,440"),
    (45, "FC-100", "with biases", "470,500"),
    (46, "Conv-6", "with P=2, on 28×28 maps", "117,600"),
    (46, "formula of Conv-6", "the product as printed", "89,856"),
    (46, "maps that FC-100 reads", "FC-100 on 24×24 maps", "345,600"),
    (50, "receptive field after the pooling", "jump", "2"),
    (51, "feature map", "padding", "2"),
    (56, "FC-10: 1 FC output layer (10 U)", "parameters", "7,850"),
    (56, "FC-300-10: 1 hidden FC (300 U), 1 output FC (10 U)", "MACs", "238,200"),
    (56, "LeNet-300: 2 hidden FCs (300 + 100 U), 1 output FC (10 U)", "parameters", "266,610"),
    (56, "LeNet-1: 2 Conv (3 F), 1 output FC", "MACs", "91,520"),
    (56, "LeNet-5: 2 conv (6+16 F), 3 FC layer", "MACs", "325,680"),
    (57, "receptive field", "C1", "5×5"),
    (57, "receptive field", "S2", "6×6"),
    (57, "receptive field", "C3", "14×14"),
    (57, "receptive field", "S4", "16×16"),
    (57, "receptive field", "C5", "32×32"),
    (75, "speed of the DSP", "at that speed", "7.32 ms"),
    (81, "parameters", "split over two GPUs, as in 2012", "60,965,224"),
    (81, "convolutions' share of the time", "share of the MACs", "94.84 %"),
    (81, "convolutions' share of the time", "MACs in convolutions", "1,076,634,144"),
    (81, "convolutions' share of the time", "of all MACs", "1,135,256,096"),
    (84, "first filters", "of all MACs", "9.29 %"),
    (85, "two 3×3 filters see", "weights of two 3×3, by pair of channels", "18"),
    (91, "ResNet-152, layers", "parameters", "60,192,808"),
    (94, "ResNet-18 less plain-18, MACs", "with projections (B)", "19,267,584"),
]


@pytest.mark.parametrize(("slide", "what", "words", "text"), BESIDE)
def test_measures_shown_beside_a_figure(findings, slide, what, words, text):
    texts = [f.beside_text.split("; ") for f in findings if (f.slide.number, f.claim.what) == (slide, what)]
    assert any(f"{words}: {text}" in beside for beside in texts)
