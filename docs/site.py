"""Brings into the site what lies beside docs/: reports, notebooks, the changelog, and files that pages link to.

Links on pages are those of the repository, so that they work on a code host as well; here they are turned into the
site's own.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(\]\(|<img src=\")([^)\s\"#]+)((?:#[^)\s\"]*)?[)\"])")
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "examples/budget_in_ci/README.md", *sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / "reports").glob("*.md")
))  # fmt: skip
"""Files of the repository that are pages of the site, under the same path."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the repository's pages, notebooks as pages, and every other file that a page links to."""
    for path in PAGES:
        files.append(File.generated(config, path, content=(ROOT / path).read_text(encoding="utf-8")))
    for path in (ROOT / "examples").glob("*.ipynb"):
        _notebook(path, files, config)
    for file in list(files.documentation_pages()):
        for _, link, _ in LINK.findall(file.content_string):
            target = _in_repository(file.src_uri, link)
            if target and not target.startswith("docs/") and files.get_file_from_path(target) is None:
                files.append(File.generated(config, target, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turn links to files beside docs/ into links to their copies in the site."""
    here = page.file.src_uri

    def turned(match: re.Match[str]) -> str:
        before, link, after = match.groups()
        target = _in_repository(here, link)
        if target is None:
            return match[0]
        target = target.removeprefix("docs/")
        return before + posixpath.relpath(target, posixpath.dirname(here) or ".") + after

    return LINK.sub(turned, markdown)


def _in_repository(page: str, link: str) -> str | None:
    """The path from the repository's root that a link on a page means; None for one that leads out or nowhere."""
    if "://" in link or link.startswith(("mailto:", "/")):
        return None
    beside = (ROOT / page).exists() and not (ROOT / "docs" / page).exists()
    folder = posixpath.dirname(page if beside else f"docs/{page}")
    path = posixpath.normpath(posixpath.join(folder, link))
    return path if not path.startswith("..") and (ROOT / path).is_file() else None


def _notebook(path: Path, files: Files, config: MkDocsConfig) -> None:
    """A notebook as a page with its pictures."""
    from nbconvert import MarkdownExporter

    page = path.relative_to(ROOT).with_suffix(".md").as_posix()
    text, resources = MarkdownExporter().from_filename(str(path))
    for name, content in resources["outputs"].items():
        picture = f"{path.stem}_{name}"
        text = text.replace(f"({name})", f"({picture})")
        files.append(File.generated(config, posixpath.join(posixpath.dirname(page), picture), content=content))
    files.append(File.generated(config, page, content=text))
