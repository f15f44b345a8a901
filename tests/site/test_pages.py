"""The built pages as files: links and anchors lead somewhere, nothing comes from a network, every name stands once."""

import re
from collections import Counter
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

import jaxiter
import jaxiter.keras

from .conftest import COMMAND, ROOT

pytestmark = [pytest.mark.site, pytest.mark.timeout(900)]
LOADED = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}


class Page(HTMLParser):
    """Links, anchors, and what a browser loads by itself."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self.loaded, self.pictures = [], [], [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors += filter(None, [values.get("id")])
        if tag == "a":
            self.links += filter(None, [values.get("href")])
        if tag in LOADED and values.get("rel") not in ("canonical", "index", "search", "next", "prev", "genindex"):
            self.loaded += filter(None, [values.get(LOADED[tag])])
        if tag == "img":
            self.pictures.append(values)


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}


def test_every_link_and_anchor_leads_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].anchors if target in pages else None
            if not target.is_file() or (parts.fragment and known and unquote(parts.fragment) not in known):
                broken.append((path.name, link))
    assert broken == []
    assert sum(len(page.links) for page in pages.values()) > 2000


def test_nothing_is_loaded_from_elsewhere(pages, site):
    """No fonts, scripts or pictures of a network: the pages are read without one."""
    outside = [(path.name, it) for path, page in pages.items() for it in page.loaded if urlsplit(it).netloc]
    assert outside == []
    missing = [
        (path.name, it)
        for path, page in pages.items()
        for it in page.loaded
        if not (path.parent / unquote(urlsplit(it).path)).is_file()
    ]
    assert missing == []
    for style in (site / "_static").rglob("*.css"):
        text = style.read_text().replace('"', "").replace("'", "")
        assert not re.search(r"(url\(|@import )(https?:)?//", text), style.name


def test_every_picture_says_what_it_shows(pages):
    silent = [
        (path.name, picture.get("src"))
        for path, page in pages.items()
        for picture in page.pictures
        if len(picture.get("alt") or "") < 8
    ]
    assert silent == []


def test_every_public_name_stands_once_with_its_source(pages, site):
    keras = {name for name in vars(jaxiter.keras) if not name.startswith("_")}
    public = [f"jaxiter.{name}" for name in set(jaxiter.__all__) - keras] + [f"jaxiter.keras.{name}" for name in keras]
    reference = {path: page for path, page in pages.items() if path.parent == site / "reference"}
    shown = Counter(anchor for page in reference.values() for anchor in page.anchors)
    assert {name: shown[name] for name in public if shown[name] != 1} == {}
    sources = {link.split("#")[1] for page in reference.values() for link in page.links if "_modules/" in link}
    assert {name.removeprefix("jaxiter.").removeprefix("keras.") for name in public} <= sources


def test_ci_and_the_readme_build_the_pages_by_the_command_that_is_tested():
    assert COMMAND in (ROOT / ".ci" / "run").read_text()
    assert COMMAND.replace("-q ", "") in (ROOT / "README.md").read_text()
