"""A flow run and the plain call give the same numbers; without a server nothing of Prefect runs."""

import numpy as np
import pytest
import xarray as xr

from flows.forecast import forecast_deals
from flows.sweep import sweep_deal
from forecast.errors import ForecastError
from forecast.inputs import load
from forecast.pipeline import RunSettings, open_run, run_forecast

SMALL = {"paths": 20_000, "draws": 2_000, "seed": 3}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return tmp_path_factory.mktemp("flows")


@pytest.fixture(scope="module")
def plain(archive) -> xr.DataTree:
    return run_forecast(load("priors/teaching"), RunSettings(archive=archive, **SMALL)).tree


def test_the_flow_without_a_server_gives_the_same_numbers(archive, plain, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (id_,) = forecast_deals.fn(["priors/teaching"], archive=str(archive), **SMALL)
    tree = open_run(id_, archive).open()
    np.testing.assert_array_equal(tree["outcome_probability"], plain["outcome_probability"])


def test_a_flow_goes_on_after_a_bad_deal_and_then_fails(archive):
    with pytest.raises(ForecastError, match=r"priors/nowhere: .*no such deal file"):
        forecast_deals.fn(["priors/nowhere", "priors/teaching"], archive=str(archive), **SMALL)
    runs = [r for r in (archive / "runs").iterdir() if not r.name.startswith(".")]
    assert len(runs) >= 2


def test_the_sweep_flow(archive, plain):
    path = sweep_deal.fn("priors/teaching", {"noise": [0.5, 1.0]}, archive=str(archive), **SMALL)
    sweep = xr.open_zarr(path, consolidated=False)
    assert list(sweep["noise"].to_numpy()) == [0.5, 1.0]


@pytest.mark.slow
def test_the_flow_on_a_prefect_server_gives_the_same_numbers(archive, plain):
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        (id_,) = forecast_deals(["priors/teaching"], archive=str(archive), **SMALL)
    tree = open_run(id_, archive).open()
    np.testing.assert_array_equal(tree["outcome_probability"], plain["outcome_probability"])
