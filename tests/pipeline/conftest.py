"""What the tests of the pipeline share: one Dask cluster and one Ray node, started by their commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks import clusters


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[clusters.Cluster]:
    """Return a scheduler and two workers; one has a nanny that starts it anew."""
    with clusters.dask_cluster(tmp_path_factory.mktemp("dask")) as running:
        yield running


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[clusters.Cluster]:
    """Return a node of two CPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        folder = tmp_path_factory.mktemp("ray")
        with clusters.ray_cluster(folder) as running:
            yield running


@pytest.fixture(params=["dask", "ray"])
def cluster(request: pytest.FixtureRequest) -> clusters.Cluster:
    """Return one cluster after the other."""
    running: clusters.Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return running
