"""No secret of a URL is written down: not in messages, not in what a product says of itself, not in workers' logs."""

import pickle
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from distributed import LocalCluster
from distributed.utils_test import captured_logger
from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtl import redaction
from rsmtl.config import Settings
from rsmtl.dispatch import cluster_at
from rsmtl.engine.plan import plan
from rsmtl.engine.product import write
from rsmtl.errors import RunError, SceneError
from rsmtl.redaction import redacted, redacted_value
from rsmtl.scene.open import file_id as scene_name
from rsmtl.scene.scene import Scene, SourceFile
from tests import fakes

AWS = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAX%2F20260101&X-Amz-Date=20260101T000000Z"
    "&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=5ec2e7"
)
SAS = "sv=2024-11-04&st=2026-01-01&se=2026-01-02&sr=b&sp=r&skoid=1&sktid=2&sig=5ec2e7%3D"
SIGNED = f"https://user:5ec2e7@host/a.tif?{AWS}"


@pytest.mark.parametrize(
    ("href", "public"),
    [
        (f"https://bucket.example/a.tif?{AWS}", "https://bucket.example/a.tif"),
        (f"https://blob.example/a.tif?{SAS}", "https://blob.example/a.tif"),
        ("https://user:5ec2e7@host:8080/a/b.tif", "https://host:8080/a/b.tif"),
        ("https://5ec2e7@host/a.tif", "https://host/a.tif"),
        ("/vsicurl/https://user:5ec2e7@host/a.tif", "/vsicurl/https://host/a.tif"),
        ("https://host/cog?file=a.tif&token=5ec2e7&v=2", "https://host/cog?file=a.tif&v=2"),
        ("https://host/a?access_token=5ec2e7", "https://host/a"),
        ("https://host/a?Expires=1&Key-Pair-Id=K&Signature=5ec2e7", "https://host/a"),
        ("https://host/a?apikey=5ec2e7#part", "https://host/a"),
        ("https://host/a?subscription-key=5ec2e7", "https://host/a"),
        ("https://host/cog?st=1&sr=2", "https://host/cog"),
        ("https://host/@user/a.tif?time=3", "https://host/@user/a.tif?time=3"),
        ("s3://bucket/key?versionId=3", "s3://bucket/key?versionId=3"),
        ("/data/what?.tif", "/data/what?.tif"),
    ],
)
def test_what_signs_a_url_is_left_out_and_the_rest_kept(href: str, public: str) -> None:
    assert redacted(href) == public
    assert redacted(f"'{href}' cannot be read") == f"'{public}' cannot be read"
    assert redacted_value({"a": [href, 1, None]}) == {"a": [public, 1, None]}
    assert redacted(public) == public


SECRET = "5ec2e7"
names = st.one_of(
    st.sampled_from(
        [
            "jwt",
            "code",
            "hmac",
            "t",
            "id",
            "session",
            "X-Amz-Signature",
            "sig",
            "key",
            "%74oken",
            "to%6ben",
            "a[b]",
            "header.Authorization",
            "Policy",
            "__gda__",
            "hdnea",
            "e",
            "verify",
            "st",
            "ticket",
            "u",
            "p",
        ]
    ),
    st.text("abcdefgh_-.%", min_size=1, max_size=8).filter(
        lambda name: name.lower() not in redaction._HARMLESS
    ),
)
values = st.one_of(
    st.just(SECRET),
    st.just(f"Bearer%20{SECRET}"),
    st.just(f"eyJhbGciOiJIUzI1NiJ9.{SECRET}.x-_y"),
    st.just(f"{SECRET}%3D%3D"),
    st.just(f"a/{SECRET}=="),
)
harmless = st.sampled_from(["v=2", "file=a.tif", "versionId=3", "bands=1,2", "FORMAT=tif"])
pairs = st.builds("{}={}".format, names, values)
separators = st.sampled_from(["&", ";", "?", "&amp;"])
queries = st.one_of(
    st.builds(
        lambda first, one, by, two: f"?{first}{by}{one}{by}{two}", harmless, pairs, separators, harmless
    ),
    st.builds("?{}".format, pairs),
    st.just(f"?{SECRET}"),
    st.builds("#{}".format, pairs),
    st.just(f"#{SECRET}"),
    st.builds(";{}".format, pairs),
    st.builds("?v=1#{}".format, pairs),
    st.builds("%3F{}".format, st.builds("{}%3D{}".format, names, st.just(SECRET))),
)
users = st.sampled_from(["", "", f"user:{SECRET}@", f"{SECRET}@", f"user:p@{SECRET}@", f"user:a/{SECRET}@"])
plain = st.builds(
    "{}://{}host{}/a.tif{}".format,
    st.sampled_from(["https", "http", "s3", "HTTPS", "zip+https", "ftp"]),
    users,
    st.sampled_from(["", ":8080"]),
    queries,
)
urls = st.one_of(
    plain,
    st.builds("/vsicurl/{}".format, plain),
    st.builds("/vsizip//vsicurl/{}/b.tif".format, plain),
    st.builds("/vsicurl?url={}&{}".format, plain.map(lambda url: quote(url, safe="")), pairs),
    st.builds("https://host/cog?url={}".format, plain.map(lambda url: quote(url, safe=""))),
    st.builds("https://host/cog?url={}".format, plain.map(lambda url: quote(quote(url, safe=""), safe=""))),
    st.builds("https://host/cog?src={}".format, plain),
    st.builds("/vsis3/bucket/a.tif{}".format, queries),
    st.builds("vrt://{}".format, plain),
)


@given(urls)
@settings(max_examples=150, deadline=None)
def test_no_spelling_of_a_url_keeps_a_secret(url: str) -> None:
    for text in (url, f"'{url}' cannot be read: give another", f"see {url}, or not", f"({url})."):
        public = redacted(text)
        assert SECRET not in unquote(unquote(public))
        assert redacted(public) == public
    assert "host" in redacted(url) or url.startswith("/vsis3")
    assert SECRET not in scene_name(url)


def test_what_is_no_url_is_left_alone() -> None:
    for text in ("/data/run #3/a;b.tif", "what? a=b; c=d", "C:/a b/c.tif", "rows 1; 2 & 3", "5 > 3 | 2"):
        assert redacted(text) == text


@pytest.mark.parametrize("kind", [SceneError, RunError])
def test_no_message_has_a_secret(kind: type[Exception]) -> None:
    error = pickle.loads(pickle.dumps(kind(f"'{SIGNED}' cannot be opened: give another")))
    assert str(error) == "'https://host/a.tif' cannot be opened: give another"


def _signed_scene() -> Scene:
    made = fakes.make_scene(fakes.numbered(40, 40))
    return Scene(
        id="scene",
        inputs=made.inputs,
        sources=(SourceFile(SIGNED, 3, "etag"),),
        item_href=SIGNED,
        opened_with={"source": {"image": SIGNED}, "assets": None},
    )


def test_nothing_that_a_product_holds_has_a_secret(tmp_path: Path) -> None:
    product = write(_signed_scene(), fakes.identity(), tmp_path)
    files = [path for path in Path(str(product.folder)).rglob("*") if path.is_file()]
    assert {"run.json", "item.json", "fingerprint.json"} <= {path.name for path in files}
    assert [path for path in files if b"5ec2e7" in path.read_bytes()] == []
    assert b"https://host/a.tif" in (tmp_path / "scene" / "run.json").read_bytes()


def test_a_url_signed_anew_is_the_same_source() -> None:
    once = _signed_scene()
    again = replace(once, sources=(SourceFile(SIGNED.replace("5ec2e7", "07e4"), 3, "etag"),))
    other = replace(once, sources=(SourceFile(SIGNED.replace("a.tif", "b.tif"), 3, "etag"),))
    digests = [plan(scene, fakes.identity(), Settings()).run for scene in (once, again, other)]
    assert digests[0] == digests[1] != digests[2]


def _fail(href: str) -> None:
    raise ValueError("that was not expected")


def test_workers_do_not_log_the_arguments_of_a_job_that_fails() -> None:
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as standing,
        cluster_at(standing.scheduler_address) as executor,
        captured_logger("distributed.worker") as log,
        pytest.raises(ValueError, match="not expected"),
    ):
        executor.submit(_fail, SIGNED).result(60)
    assert "Compute Failed" in log.getvalue()
    assert "5ec2e7" not in log.getvalue()
