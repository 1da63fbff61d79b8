"""Every block of every page is run as it stands; `pytest tests/docs/test_blocks.py -k how-to/tune` runs one page.

What a page may say about its blocks: `tests/docs/pages.py`.
"""

from pathlib import Path

import pytest
import yaml

from flows.process_catalogue import CatalogueRun
from flows.train_model import TrainingRun
from rsmtl.training.config import TrainConfig
from tests.docs.pages import NEEDS_DATA, ROOT, blocks, pages
from tests.docs.running import data_folder, run

PAGE_LIMIT_S = 400
RUNS = {"process_catalogue": CatalogueRun, "train_model": TrainingRun}

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT).with_suffix(""))) for page in pages()]


@pytest.mark.pages
@pytest.mark.timeout(PAGE_LIMIT_S + 60)
@pytest.mark.parametrize("page", PAGES)
def test_blocks_run(page: Path, tmp_path: Path) -> None:
    if NEEDS_DATA in page.read_text() and not data_folder().is_dir():
        pytest.skip(f"no real imagery at {data_folder()}: set RSMTL_DATA to the folder that holds it")
    status, printed = run(page, tmp_path, PAGE_LIMIT_S)
    assert status == 0, f"{status}\n{printed[-6000:]}"


@pytest.mark.parametrize("page", PAGES)
def test_yaml_is_what_the_product_reads(page: Path) -> None:
    for block in blocks(page):
        if block.kind == "yaml":
            check_yaml(yaml.safe_load(block.text))


def check_yaml(found: object) -> None:
    """Training configurations and parameters of flows are read by their own models."""
    if not isinstance(found, dict):
        return
    if {"system", "data"} <= found.keys():
        TrainConfig.model_validate(found)
    for deployment in found.get("deployments", ()):
        flow = deployment["entrypoint"].rpartition(":")[2]
        if "run" in deployment.get("parameters", {}):
            RUNS[flow].model_validate(deployment["parameters"]["run"])
