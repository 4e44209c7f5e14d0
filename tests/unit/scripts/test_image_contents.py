"""What each image takes, seen from its sources."""

from pathlib import Path

import pytest

from image_build.pick_modules import files_of, find_modules
from local_cluster.errors import ClusterError
from local_cluster.places import REPOSITORY
from local_images.catalogue import IMAGES, OPERATOR, STEP_IMAGES, STEPS, tag_of, take_snapshot

ROOTS = [REPOSITORY / "operator/src", REPOSITORY / "step_images/src"]
CLIENT_OF = {
    "asset_generation": "gemini",
    "video_generation": "kling",
    "narration_generation": "elevenlabs",
    "sfx_generation": "elevenlabs",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_image_holds_its_own_provider_client_and_no_other(step):
    modules = find_modules(STEP_IMAGES[step].module, ROOTS)
    clients = {name.split(".")[2] for name in modules if name.startswith("videotask_steps.clients.")}
    providers = clients & set(CLIENT_OF.values())
    assert providers == ({CLIENT_OF[step]} if step in CLIENT_OF else set())


@pytest.mark.parametrize("step", STEPS)
def test_a_step_image_holds_no_other_step_no_operator_and_no_emulator(step):
    modules = find_modules(STEP_IMAGES[step].module, ROOTS)
    others = {f"videotask_steps.steps.{other}" for other in STEPS if other != step}
    assert not others & set(modules)
    assert {name.split(".")[0] for name in modules} == {"videotask_contract", "videotask_steps"}


def test_the_imports_of_imports_are_found_in_every_form(tmp_path):
    package = tmp_path / "videotask_steps"
    (package / "media").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "media" / "__init__.py").write_text("")
    (package / "media" / "probe.py").write_text("from ..ledger import Ledger\n")
    (package / "ledger.py").write_text("import json\n")
    (package / "lazy.py").write_text("")
    (package / "unused.py").write_text("")
    (package / "start.py").write_text(
        "from videotask_steps.media import probe\n\ndef later():\n    from . import lazy\n    return lazy\n"
    )
    found = find_modules("videotask_steps.start", [tmp_path])
    names = {name.removeprefix("videotask_steps.") for name in found}
    assert names == {"videotask_steps", "start", "media", "media.probe", "ledger", "lazy"}


def test_a_packages_data_comes_along(tmp_path):
    package = tmp_path / "videotask_contract"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "prices.json").write_text("{}")
    (package / "other.py").write_text("")
    files = files_of(find_modules("videotask_contract", [tmp_path]))
    assert {path.name for path in files} == {"__init__.py", "prices.json"}


def test_a_module_that_is_nowhere_is_named(tmp_path):
    with pytest.raises(ModuleNotFoundError, match=r"videotask_steps\.steps\.nothing"):
        find_modules("videotask_steps.steps.nothing", [tmp_path])


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    take_snapshot(REPOSITORY, tmp_path)
    return tmp_path


def test_every_image_has_a_tag_of_its_own(snapshot):
    assert len({tag_of(image, "base", snapshot) for image in IMAGES}) == len(IMAGES)


def test_a_tag_follows_the_files_the_image_takes_and_no_others(snapshot):
    kling = STEP_IMAGES["video_generation"]
    narration = STEP_IMAGES["narration_generation"]
    before = tag_of(kling, "base", snapshot), tag_of(narration, "base", snapshot)
    client = snapshot / "step_images/src/videotask_steps/clients/kling.py"
    client.write_text(client.read_text() + "# changed\n")
    assert tag_of(kling, "base", snapshot) != before[0]
    assert tag_of(narration, "base", snapshot) == before[1]


def test_a_tag_follows_the_base(snapshot):
    assert tag_of(OPERATOR, "base:1", snapshot) != tag_of(OPERATOR, "base:2", snapshot)


def test_a_missing_lock_file_is_named(snapshot):
    (snapshot / "requirements/operator.txt").unlink()
    with pytest.raises(ClusterError, match=r"operator\.txt, which is not there"):
        tag_of(OPERATOR, "base", snapshot)
