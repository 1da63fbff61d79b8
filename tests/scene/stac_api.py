"""A small STAC API: `python stac_api.py ITEMS.json` prints its port.

Landing page, collections, items, item search by GET and POST with paging, `datetime`, `bbox`, `collections` and the
query extension. What it is to answer next is given to `/faults` (a list of statuses, or `"repeat"` for paging that
never ends), and what it was asked comes from `/asked`.
"""

import json
import sys
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#query",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
]

ITEMS: list[dict[str, Any]] = []
FAULTS: list[Any] = []
ASKED: list[dict[str, Any]] = []


def when(text: str) -> datetime:
    return datetime.fromisoformat(text)


def matches(item: dict[str, Any], asked: dict[str, Any]) -> bool:
    taken = when(item["properties"]["datetime"])
    start, _, end = asked.get("datetime", "../..").partition("/")
    west, south, east, north = asked.get("bbox", (-180, -90, 180, 90))
    box = item["bbox"]
    clouds = asked.get("query", {}).get("eo:cloud_cover", {}).get("lte")
    return (
        (start == ".." or taken >= when(start))
        and (end == ".." or taken <= when(end or start))
        and (not asked.get("collections") or item["collection"] in asked["collections"])
        and box[0] <= east and west <= box[2] and box[1] <= north and south <= box[3]
        and (clouds is None or item["properties"].get("eo:cloud_cover", 101) <= clouds)
    )  # fmt: skip


class Api(BaseHTTPRequestHandler):
    """Answers from ITEMS."""

    protocol_version = "HTTP/1.1"

    @property
    def root(self) -> str:
        return f"http://{self.headers['Host']}"

    def do_GET(self) -> None:
        found = urlsplit(self.path)
        asked: dict[str, Any] = {name: values[0] for name, values in parse_qs(found.query).items()}
        if "bbox" in asked:
            asked["bbox"] = [float(edge) for edge in asked["bbox"].split(",")]
        if "collections" in asked:
            asked["collections"] = asked["collections"].split(",")
        if "query" in asked:
            asked["query"] = json.loads(asked["query"])
        self.answer(found.path, asked)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/faults":
            FAULTS[:] = body
            ASKED.clear()
            return self.send(200, {})
        return self.answer(self.path, body)

    def answer(self, path: str, asked: dict[str, Any]) -> None:
        if path == "/asked":
            return self.send(200, ASKED)
        ASKED.append({"method": self.command, "path": path, **asked})
        if FAULTS and FAULTS[0] != "repeat":
            return self.send(FAULTS.pop(0), {"description": "a <b>page</b>\nof text"})
        match path.strip("/").split("/"):
            case [""]:
                return self.send(200, self.landing())
            case ["search"]:
                return self.send(200, self.page(asked))
            case ["collections"]:
                names = sorted({item["collection"] for item in ITEMS})
                return self.send(200, {"collections": [self.collection(name) for name in names], "links": []})
            case ["collections", name]:
                return self.send(200, self.collection(name))
            case ["collections", name, "items", item_id]:
                for item in ITEMS:
                    if (item["collection"], item["id"]) == (name, item_id):
                        return self.send(200, self.linked(item))
        return self.send(404, {"description": "not found"})

    def landing(self) -> dict[str, Any]:
        links = [{"rel": "self", "href": self.root}, {"rel": "root", "href": self.root}]
        links += [{"rel": "data", "href": f"{self.root}/collections"}]
        links += [
            {"rel": "search", "href": f"{self.root}/search", "method": method, "type": "application/geo+json"}
            for method in ("GET", "POST")
        ]
        return {
            "type": "Catalog", "stac_version": "1.0.0", "id": "api", "description": "a test",
            "conformsTo": CONFORMS, "links": links,
        }  # fmt: skip

    def collection(self, name: str) -> dict[str, Any]:
        href = f"{self.root}/collections/{name}"
        return {
            "type": "Collection", "stac_version": "1.0.0", "id": name, "description": "a test", "license": "other",
            "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
            "links": [
                {"rel": "self", "href": href},
                {"rel": "root", "href": self.root},
                {"rel": "items", "href": f"{href}/items"},
            ],
        }  # fmt: skip

    def linked(self, item: dict[str, Any]) -> dict[str, Any]:
        href = f"{self.root}/collections/{item['collection']}/items/{item['id']}"
        return {**item, "links": [{"rel": "self", "href": href}, {"rel": "root", "href": self.root}]}

    def page(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = [item for item in ITEMS if matches(item, asked)]
        limit, skip = min(int(asked.get("limit", 10)), 10), int(asked.get("skip", 0))
        ahead = 0 if FAULTS == ["repeat"] else skip + limit
        links: list[dict[str, Any]] = []
        if ahead < len(found):
            link = {"rel": "next", "href": f"{self.root}/search", "method": self.command}
            if self.command == "POST":
                link["body"] = {**asked, "skip": ahead}
            else:
                flat = {
                    name: ",".join(map(str, v)) if isinstance(v, list) else v for name, v in asked.items()
                }
                link["href"] += "?" + urlencode({**flat, "skip": ahead})
            links.append(link)
        features = [self.linked(item) for item in found[skip : skip + limit]]
        return {
            "type": "FeatureCollection",
            "features": features,
            "links": links,
            "numberMatched": len(found),
        }

    def send(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    ITEMS.extend(json.loads(Path(sys.argv[1]).read_text())["features"])
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
