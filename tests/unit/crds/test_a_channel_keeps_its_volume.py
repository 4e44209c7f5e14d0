"""A Channel's volume holds its films' files and ledgers; on another what was paid would be paid again."""

from __future__ import annotations


def test_a_channel_keeps_its_volume(schema):
    volume = schema("channels")["spec"]["properties"]["volume"]
    assert volume["required"] == ["claimName"], "what may be left out could be taken away and given anew"
    [rule] = volume["properties"]["claimName"]["x-kubernetes-validations"]
    assert rule["rule"] == "self == oldSelf"
    assert "make another Channel" in rule["message"]
