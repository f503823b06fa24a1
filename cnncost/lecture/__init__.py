"""Checks a lecture: compares the figures printed on its slides with exact figures of the actual networks.

    claims      classes for claims       mn909.toml   the claims, as data
    contents    the package's course     compute      measuring, with `analyze` and `experiments`
    verdict     how figures compare      findings     claims with their figures and verdicts
    tables      layout of findings       document     the findings as a Document
    reports     the files of reports/

Within cnncost only the command line imports this package; it imports the zoo and the analyzer.
"""
