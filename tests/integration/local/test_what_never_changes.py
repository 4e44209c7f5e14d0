"""A laptop holds to what the CRDs never let a person change: on another volume what was paid would be paid again."""

from __future__ import annotations

from tests.integration.local.test_local_cluster import KEY


def channel_with(world, claim_name):
    return {**world.channel, "spec": world.channel["spec"] | {"volume": {"claimName": claim_name}}}


async def test_a_film_is_never_moved_to_another_channel(world):
    world.folder.apply({**world.channel, "metadata": {"name": "sea"}})
    for _ in range(2):
        world.folder.apply({**world.task, "spec": world.task["spec"] | {"channelRef": {"name": "sea"}}})
        world.cluster.refresh()
        task = world.cluster.observe(KEY).task
        assert task.spec is None
        assert task.spec_error.startswith("spec.channelRef: can never be changed (it was river)")
        world.restarted()
    world.folder.apply(world.task)
    world.cluster.refresh()
    assert world.cluster.observe(KEY).task.spec.channel_ref.name == "river"


async def test_a_broken_film_may_still_name_its_channel(world):
    (world.folder.videotasks / "heron.yaml").unlink()
    world.wait(lambda seen: seen.task is None)
    for name, is_whole in (("No Name", False), ("river", True)):
        world.folder.apply({**world.task, "spec": world.task["spec"] | {"channelRef": {"name": name}}})
        world.cluster.refresh()
        assert (world.cluster.observe(KEY).task.spec is not None) is is_whole


async def test_a_channel_keeps_its_volume_as_long_as_it_is_there(world):
    for _ in range(2):
        world.folder.apply(channel_with(world, "other-files"))
        world.cluster.refresh()
        channel = world.cluster.observe(KEY).channel
        assert channel.spec is None
        assert channel.spec_error.startswith("spec.volume.claimName: cannot be changed (it was river-files)")
        world.restarted()
    world.folder.apply(world.channel)
    world.cluster.refresh()
    assert world.cluster.observe(KEY).channel.spec is not None


async def test_a_channel_made_anew_may_have_another_volume(world):
    for restarts in (False, True):
        (world.folder.channels / "river.yaml").unlink()
        if restarts:
            world.restarted()
        world.wait(lambda seen: world.cluster.is_synced and seen.channel is None)
        world.folder.apply(channel_with(world, f"other-{int(restarts)}"))
        world.cluster.refresh()
        assert world.cluster.observe(KEY).channel.spec is not None
