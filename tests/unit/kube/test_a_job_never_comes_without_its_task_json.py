"""A Job is taken for a run that has begun: its pod must find task.json, or wait for its whole deadline."""

from __future__ import annotations

import pytest
from tests.support.builders import RULES, a_channel, a_record, a_resource, a_run

from videotask_contract.errors import VideoTaskError
from videotask_contract.steps import Step
from videotask_operator.core.order import build_order
from videotask_operator.kube.build_job import JobSettings
from videotask_operator.kube.cluster import KubeCluster
from videotask_operator.kube.paths import Kind, core, objects, one

CONFIG_MAPS = core("configmaps", "studio")
CONFIG_MAP = core("configmaps", "studio", "film-job-1")
JOB = one(Kind.JOB, "studio", "film-job-1")


@pytest.fixture
def cluster(make_api) -> KubeCluster:
    return KubeCluster(make_api(), namespaces=("studio",), jobs=JobSettings(images=dict.fromkeys(Step, "step:1")))


@pytest.fixture
def order():
    return build_order(
        run=a_run(job_name="film-job-1"),
        record=a_record(),
        spec=a_resource().spec,
        channel=a_channel().spec,
        rules=RULES,
    )


@pytest.mark.parametrize("status", [403, 422, 429, 500])
async def test_a_config_map_that_is_refused_leaves_no_job_behind(server, cluster, order, status) -> None:
    server.refuse(f"POST {CONFIG_MAPS}", status)
    with pytest.raises(VideoTaskError):
        await cluster.create_run(order)
    assert server.objects == {}, "a Job now would be taken for the whole run, and never be made good"
    server.refusals.clear()
    await cluster.create_run(order)
    assert set(server.objects) == {CONFIG_MAP, JOB}


async def test_the_config_map_is_there_before_the_job_is_asked_for(server, cluster, order) -> None:
    await cluster.create_run(order)
    posted = [path for method, path in server.requests if method == "POST"]
    assert posted == [CONFIG_MAPS, objects(Kind.JOB, "studio")]
