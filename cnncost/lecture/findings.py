"""Findings: claims with their exact figures and verdicts, the content of all output formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import chdir
from dataclasses import dataclass

from cnncost import units
from cnncost.errors import CnncostError
from cnncost.lecture import claims, values
from cnncost.lecture.arithmetic import evaluate
from cnncost.lecture.compute import clear_caches, measure
from cnncost.lecture.printed import parse
from cnncost.lecture.quantity import WORDS
from cnncost.lecture.read import CourseFile
from cnncost.lecture.values import Measured
from cnncost.lecture.verdict import Judgement, Verdict, judge

__all__ = ["Finding", "Findings", "check", "describe", "examine", "find"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim with its exact figure and verdict.

    Attributes:
        slide: the slide with the claim.
        table: the table with the claim.
        claim: the claim.
        exact: the exact figure; None if it can't be computed.
        beside: further figures, as (what, figure).
        judgement: the comparison of the printed figure with the exact one.
    """

    slide: claims.Slide
    table: claims.Table
    claim: claims.Claim
    exact: Measured | None
    beside: tuple[tuple[str, Measured], ...]
    judgement: Judgement

    @property
    def verdict(self) -> Verdict:
        """The verdict on the claim."""
        return self.judgement.verdict

    @property
    def printed(self) -> str:
        """The figure on the slide, with the slide's own calculation: `300 * (28*28) = 230k`."""
        return f"{self.claim.work} = {self.claim.printed}" if self.claim.work else self.claim.printed

    @property
    def exact_text(self) -> str:
        """The exact figure as text; empty if there is none."""
        return values.text(self.exact, self.claim.right) if self.exact else ""

    @property
    def beside_text(self) -> str:
        """The further measures as text, such as `with biases: 235,500; …`; empty if there are none."""
        return "; ".join(f"{words}: {values.text(measured)}" for words, measured in self.beside)

    @property
    def work(self) -> str:
        """The correct calculation with numbers filled in; empty if there is none."""
        return self.claim.formula or (self.exact.work if self.exact else "")

    @property
    def how(self) -> str:
        """The correct calculation, if any, and what was measured; empty if there is no exact figure."""
        if self.exact is None or self.claim.exact is None:
            return ""
        description = describe(self.claim.exact)
        return f"{self.work} = {self.exact_text} ({description})" if self.work else description

    @property
    def remark(self) -> str:
        """How far the figure is off (unless it is exact), the reason, and the source."""
        parts = [self.judgement.distance if self.verdict is not Verdict.EXACT else "", self.claim.reason]
        if self.claim.source:
            parts.append(f"source: {self.claim.source}")
        return "; ".join(part for part in parts if part)


Findings = tuple[Finding, ...]


def examine(slide: claims.Slide, table: claims.Table, claim: claims.Claim) -> Finding:
    """Compute a claim's exact figure and further measures, and compare the printed figure with the exact one.

    Raises:
        CnncostError: as for `measure`, or the value of the claim's formula is not its exact figure.
    """
    exact = measure(claim.exact) if claim.exact else None
    if claim.formula and exact and (value := evaluate(claim.formula)) != exact.value:
        raise CnncostError(f"formula: gives {value:,}, but the measured figure is {values.text(exact)}")
    judgement = judge(parse(claim.value or claim.printed), exact)
    if isinstance(claim.exact, claims.Published) and judgement.verdict is not Verdict.DIFFERS:
        judgement = Judgement(Verdict.STATED)  # two sources agree, but nothing was computed
    beside = tuple((words, measure(what)) for words, what in claim.beside)
    return Finding(slide, table, claim, exact, beside, judgement)


def find(slides: Iterable[claims.Slide]) -> Findings:
    """Examine all claims of these slides, in order."""
    return tuple(examine(slide, table, claim) for slide in slides for table in slide.tables for claim in table.claims)


def check(file: CourseFile, slides: Iterable[claims.Slide]) -> Findings:
    """Examine the claims of a file's slides. Files and packages that claims name are looked up in the file's folder.

    Raises:
        ClaimsError: a claim can't be examined. The message begins with file and line.
    """
    clear_caches()
    with chdir(file.path.parent):
        return tuple(
            _examine_in_file(file, slide, table, claim)
            for slide in slides
            for table in slide.tables
            for claim in table.claims
        )


def _examine_in_file(file: CourseFile, slide: claims.Slide, table: claims.Table, claim: claims.Claim) -> Finding:
    try:
        return examine(slide, table, claim)
    except CnncostError as error:
        raise file.wrong(claim.keys, f"{claim.what}: {error}") from None


def summary(findings: Findings) -> str:
    """Return the counts by verdict: `180 claims: 120 exact, 30 rounded, 15 differ, 15 stated`."""
    counts = Counter(finding.verdict for finding in findings)
    labels = {Verdict.EXACT: "exact", Verdict.ROUNDED: "rounded", Verdict.DIFFERS: "differ", Verdict.STATED: "stated"}
    parts = [f"{counts[verdict]} {words}" for verdict, words in labels.items()]
    return f"{units.counted(len(findings), 'claim')}: {', '.join(parts)}"


def describe(what: claims.Measure) -> str:
    """Return a measure in words: `weights of lenet300.fc1`."""
    match what:
        case claims.ModelFigure(network, quantity, layer, options, inputs, optimizer):
            details = "".join(f", {name}={value}" for name, value in options)
            details += "".join(f", input {text}" for text in inputs) + (f", {optimizer}" if optimizer else "")
            return f"{WORDS[quantity]} of {network}{'.' if layer else ''}{layer}{details}"
        case claims.Sum(parts):
            return " + ".join(describe(part) for part in parts)
        case claims.Difference(more, less):
            return f"{describe(more)}, less {describe(less)}"
        case claims.Below(less, more):
            return f"{describe(less)} below {describe(more)}"
        case claims.Share(part, whole):
            return f"{describe(part)} / {describe(whole)}"
        case claims.Ratio(more, less):
            return f"{describe(more)} / {describe(less)}"
        case claims.Scaled(scaled, _, words, _):
            return f"{describe(scaled)}, {words}"
        case claims.Formula(written):
            return written
        case claims.Law(of, vary):
            return f"{describe(of)}, as a formula of {vary.partition('=')[0]}"
        case claims.Experiment(name):
            from cnncost.lecture.experiments import words as words_of

            return words_of(name)
        case claims.Published(_, source):
            return source
