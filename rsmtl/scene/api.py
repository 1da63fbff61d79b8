"""A STAC API: a catalogue that its server searches, asked through pystac-client."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin

from pystac_client import Client
from pystac_client.conformance import ConformanceClasses
from pystac_client.stac_api_io import StacApiIO
from urllib3 import Retry
from urllib3.exceptions import MaxRetryError

from rsmtl.errors import SceneError
from rsmtl.scene.document import BUSY, LONGEST_WAIT_S, WAITS_S, read_document
from rsmtl.scene.reason import reason
from rsmtl.scene.search import Search
from rsmtl.scene.touching import cut
from rsmtl.scene.trust import trusted

PAGE = 100
"""Items asked for at a time."""
TIMEOUT_S = (10.0, 60.0)
"""To connect, and to wait for an answer."""


@dataclass(frozen=True)
class Api:
    """A STAC API, or one collection of it."""

    href: str
    """Of its landing page."""
    collections: tuple[str, ...] = ()

    def items(self, search: Search) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the items that the server finds, each with its URL; what it makes of the bounds is its own.

        Raises
        ------
        SceneError
            If the server fails, also when it is asked again, or begins to repeat itself.
        """
        given: set[tuple[str, str]] = set()
        boxes = tuple(cut(search.bbox)) if search.bbox else (None,)
        for box in boxes:  # two across the antimeridian: many servers know no such box
            here: set[tuple[str, str]] = set()
            for page in self._pages(search, box):
                found = {(str(item.get("collection")), str(item.get("id"))): item for item in page}
                if found.keys() <= here:
                    raise SceneError(
                        f"the STAC API '{self.href}' gives the same page of items over and over: its paging is broken, "
                        "take its items from elsewhere"
                    )
                here |= found.keys()
                yield from ((self._href(item), item) for name, item in found.items() if name not in given)
                given |= found.keys()

    def _pages(self, search: Search, box: tuple[float, ...] | None) -> Iterator[list[Mapping[str, Any]]]:
        retry = Retry(
            len(WAITS_S) + 1,
            status_forcelist=BUSY,
            allowed_methods=None,  # a search by POST may be repeated too
            backoff_factor=WAITS_S[0],
            retry_after_max=int(LONGEST_WAIT_S),
        )
        try:
            client = Client.open(self.href, stac_io=StacApiIO(max_retries=retry), timeout=TIMEOUT_S)
            methods = {link.extra_fields.get("method") for link in client.get_links("search")}
            clouds = search.max_cloud is not None and client.conforms_to(ConformanceClasses.QUERY)
            found = client.search(
                method="POST" if "POST" in methods else "GET",
                limit=PAGE,
                collections=[*(self.collections or search.collections)] or None,
                bbox=box,
                datetime=(search.since, search.until) if search.since or search.until else None,
                query={"eo:cloud_cover": {"lte": search.max_cloud}} if clouds else None,
            )
            for page in found.pages_as_dicts():
                yield [item for item in page["features"] if isinstance(item, Mapping)]
        except Exception as error:  # pystac-client passes on what requests, json and pystac raise
            raise SceneError(
                f"the STAC API '{self.href}' cannot be searched ({_why(error)}): see that it is up, and that it "
                "allows such a search"
            ) from error

    def _href(self, item: Mapping[str, Any]) -> str:
        """Return where an item stands: what it says itself, if it may, or else where the standard has it."""
        if said := _links(item, self.href).get("self"):
            with suppress(SceneError):
                return trusted(self.href, said)
        place = f"collections/{quote(str(item.get('collection')))}/items/{quote(str(item.get('id')))}"
        return f"{self.href.rstrip('/')}/{place}"


def api_of(document: Mapping[str, Any], href: str) -> Api | None:
    """Return the API whose landing page, or collection, a document is; None if it is of a static catalogue.

    Raises
    ------
    SceneError
        If it is of a collection whose root cannot, or must not, be read.
    """
    if _is_landing(document):
        return Api(href)
    links = _links(document, href)
    if document.get("type") != "Collection" or "items" not in links or "root" not in links:
        return None
    root = trusted(href, links["root"])
    if not _is_landing(read_document(root)):
        return None
    return Api(root, (str(document.get("id")),))


def _is_landing(document: Any) -> bool:
    if not isinstance(document, Mapping) or not isinstance(document.get("conformsTo"), list):
        return False
    searches = any("item-search" in str(said) for said in document["conformsTo"])
    return searches and "search" in _links(document, "")


def _links(document: Mapping[str, Any], href: str) -> dict[str, str]:
    """Return links by relation, without those that are none."""
    found: dict[str, str] = {}
    links = document.get("links")
    for link in links if isinstance(links, list) else ():
        with suppress(AttributeError, ValueError):  # not a mapping; not a URL
            found[str(link.get("rel"))] = urljoin(href, str(link.get("href")))
    return found


def _why(error: Exception) -> str:
    """Return what went wrong in a few words: pystac-client tells an error's text only, and of a page all of it."""
    if status := getattr(error, "status_code", None):
        return f"it answers with status {status}"
    cause: BaseException = error.__context__ or error
    inner = cause.args[0] if cause.args else None
    if isinstance(inner, MaxRetryError) and inner.reason is not None:
        return str(inner.reason).rsplit(": ", 1)[-1]
    return reason(error)
