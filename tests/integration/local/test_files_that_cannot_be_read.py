"""One film's file that is odd, unreadable or away holds up no other film, and is no proof that the film was deleted."""

from __future__ import annotations

import pytest
from tests.integration.local.test_local_cluster import KEY

from videotask_operator.core.model import TaskKey

ODD_SPECS = {"a number among names": "spec: {title: A, 7: x}", "it holds itself": "spec: &a {title: A, x: *a}"}


@pytest.mark.parametrize("spec", ODD_SPECS.values(), ids=ODD_SPECS)
async def test_a_spec_that_no_api_server_would_take_is_a_broken_one_and_ends_nothing(world, spec):
    head = "apiVersion: videotask.dev/v1alpha1\nkind: VideoTask\nmetadata: {name: heron}\n"
    (world.folder.videotasks / "heron.yaml").write_text(head + spec)
    world.cluster.refresh()
    task = world.cluster.observe(KEY).task
    assert (task.spec, task.generation) == (None, 2)
    assert "spec" in task.spec_error
    assert world.restarted().observe(KEY).task.generation == 2


async def test_the_longest_name_that_a_file_can_have_is_a_films_like_any_other(world):
    name = "heron-" + "x" * 244
    (world.folder.videotasks / f"{name}.yaml").write_text(
        (world.folder.videotasks / "heron.yaml").read_text().replace('"heron"', f'"{name}"')
    )
    world.cluster.refresh()
    assert world.cluster.observe(TaskKey("default", name)).task.spec is not None
