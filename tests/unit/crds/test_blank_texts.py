"""What the operator refuses as blank is refused by the cluster, before anybody relies on it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from tests.support.builders import a_spec
from tests.unit.crds.test_crds_and_models_agree import root_schema

from videotask_contract.resources import VideoTaskSpec

TEXTS = [
    ("assets", "name", "prompt"),
    ("scenes", "scene", "motion"),
    ("scenes", "scene", "narration"),
    ("scenes", "scene", "soundEffect"),
]


@pytest.mark.parametrize(("kind", "by", "field"), TEXTS)
def test_an_edit_to_blank_words_is_refused_by_the_cluster_as_by_the_operator(kind, by, field):
    with pytest.raises(ValidationError):
        VideoTaskSpec.model_validate(a_spec(edits={kind: [{by: "harbour", field: "   "}]}))
    spec = root_schema("videotasks")["properties"]["spec"]["properties"]
    edited = spec["edits"]["properties"][kind]["items"]["properties"][field]
    assert edited["x-kubernetes-validations"] == spec["title"]["x-kubernetes-validations"]
