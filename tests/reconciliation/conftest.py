"""The shop that the tests of a file share."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from config import Settings
from services.agents.tools.catalog import ToolCatalog
from tests.reconciliation.shop import Shop, open_shop
from tests.support.namespaces import open_namespace


@pytest.fixture(scope="module")
async def shop(
    settings: Settings,
    dev_server: Client,
    tools: ToolCatalog,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Shop]:
    data = tmp_path_factory.mktemp("shop")
    async with (
        open_namespace(dev_server) as temporal,
        open_shop(settings, temporal, tools, data) as shop,
    ):
        yield shop
