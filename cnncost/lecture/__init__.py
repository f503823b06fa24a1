"""The lecture's claims, checked: what the slides print beside what the real networks have.

    claims      what a claim is          slides/      the claims, as data
    contents    all slides               compute      measuring, by `analyze` and `experiments`
    verdict     the rule                 findings     claims, measured and judged
    tables      how findings are laid out             render/  markdown, text, CSV, JSON
    reports     the files of reports/

Of cnncost only the command line knows this package; it knows the zoo and the analyzer.
"""
