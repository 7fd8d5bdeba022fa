import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.core import sdp
from schema.errors import BadRequest

PATIENT = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_a_fragment_names_its_credentials():
    found = sdp.parse_fragment(b"a=ice-ufrag:EsAw\r\na=ice-pwd:P2uY\r\nm=audio 9 RTP/AVP 0\r\na=candidate:1\r\n")
    assert found == sdp.Fragment(ufrag="EsAw", password="P2uY")
    assert sdp.parse_fragment(b"") == sdp.Fragment(ufrag=None, password=None)
    with pytest.raises(BadRequest):
        sdp.parse_fragment(b"nonsense")
    with pytest.raises(BadRequest):
        sdp.parse_fragment(b"a=ice-ufrag:a b\r\n")


@PATIENT
@given(data=st.data())
def test_a_mangled_fragment_is_read_or_refused(sample, cuts, data):
    whole = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uY\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1\r\n"
    body = sample.mangled(whole, data.draw(cuts))
    assert isinstance(sample.outcome(lambda: sdp.parse_fragment(body)), sdp.Fragment | BadRequest)


@PATIENT
@given(st.text().map(lambda any_text: any_text.encode("utf-8", "surrogatepass")))
def test_any_text_is_read_or_refused(sample, data):
    assert isinstance(sample.outcome(lambda: sdp.parse_fragment(data)), sdp.Fragment | BadRequest)
