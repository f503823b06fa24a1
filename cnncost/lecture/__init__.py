"""Checks a lecture: compares the figures printed on its slides with exact figures of the real networks.

    claims      classes for claims       slides/      the claims, as data
    contents    all slides               compute      measuring, by `analyze` and `experiments`
    verdict     the comparison rule      findings     claims, measured and judged
    tables      layout of findings       render/      a document; markdown, text
    reports     the files of reports/

Within cnncost only the command line imports this package; it imports the zoo and the analyzer.
"""
