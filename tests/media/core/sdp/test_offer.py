import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.core import extensions, sdp
from media.core.formats import Kind
from media.core.sdp.offer import MAX_RIDS
from schema.errors import BadRequest

PATIENT = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_an_offer_is_read(sample):
    found = sample.offer(sample.AUDIO, sample.VIDEO)
    assert (found.ufrag, found.password, found.setup) == ("theirs", "secret", "actpass")
    assert found.fingerprint == sdp.Fingerprint("sha-256", sample.PRINT)
    assert [section.kind for section in found.sections] == [Kind.AUDIO, Kind.VIDEO]
    video = found.sections[1]
    assert [item.payload_type for item in video.formats] == [96, 102, 125]
    assert video.extensions == {
        extensions.MID: 4,
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time": 3,
    }
    assert video.rtx == {96: 97}
    assert video.rids == ()


def test_layers_are_read_in_the_order_of_preference_and_a_paused_one_is_one(sample):
    found = sample.offer(sample.VIDEO + sample.LAYERS, direction="sendonly")
    assert found.sections[0].rids == ("h", "m", "l")
    assert found.sections[0].extensions[extensions.RID] == 10


@pytest.mark.parametrize(
    ("lines", "rids"),
    [
        (["a=rid:0 send", "a=rid:1 send", "a=simulcast:send 1;0"], ("1", "0")),
        (["a=rid:0 send", "a=simulcast:recv 0"], ()),
        (["a=rid:0 recv", "a=simulcast:send 0"], ()),
        (["a=rid:a send", "a=rid:b send", "a=simulcast:recv x send a;b"], ("a", "b")),
        (["a=rid:a send", "a=rid:b send", "a=rid:c send", "a=simulcast:send a,b;~c"], ("a", "c")),
        (["a=rid:a send", "a=simulcast:send ~b,a;a;;"], ("a",)),
        (["a=rid:a send"], ()),
        (["a=rid:a! send", "a=simulcast:send a!"], ()),
        (["a=rid:a send", "a=simulcast:send"], ()),
        (["a=simulcast", "a=rid", "a=rid: send", "a=rid:x"], ()),
    ],
)
def test_only_what_is_declared_to_be_sent_is_a_layer(sample, lines, rids):
    assert sample.offer(sample.VIDEO + lines).sections[0].rids == rids


def test_more_layers_than_there_can_be_are_refused(sample):
    names = [str(number) for number in range(MAX_RIDS + 1)]
    lines = [f"a=rid:{name} send" for name in names]
    with pytest.raises(BadRequest, match="9 layers"):
        sample.offer([*sample.VIDEO, *lines, "a=simulcast:send " + ";".join(names)])
    assert sample.offer([*sample.VIDEO, *lines, "a=simulcast:send " + ";".join(names[1:])])


@pytest.mark.parametrize(
    ("fmtp", "rtx"),
    [
        ("apt=96", {96: 97}),
        ("rtx-time=3000; apt=102", {102: 97}),
        ("apt=103", {}),  # of a format that does not pass through
        ("apt=97", {}),
        ("apt=", {}),
        ("apt=²", {}),
        ("", {}),
    ],
)
def test_retransmissions_belong_to_a_format_that_is_offered(sample, fmtp, rtx):
    video = [line.replace("apt=96", fmtp) for line in sample.VIDEO]
    assert sample.offer(video).sections[0].rtx == rtx


def test_the_sources_of_repairs_are_read_from_their_groups(sample):
    lines = ["a=ssrc-group:FID 18 19", "a=ssrc-group:FID 1", "a=ssrc-group:SIM 1 2 3", "a=ssrc-group:FID x 20"]
    assert sample.offer(sample.VIDEO + lines).sections[0].repairs == {19: 18}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("a=mid:0", "a=x", "mid"),
        ("m=audio 9", "m=audio nine", "media section"),
        ("m=audio 9", "m=audio ²", "media section"),
        ("m=audio 9", "m=audio 65536", "media section"),
        ("m=audio 9", "m=audio " + "9" * 5000, "media section"),
        ("111 0", "111 999", "payload type"),
        ("111 0", "111 ²", "payload type"),
        ("111 0", "111 ٣", "payload type"),
        ("111 0", "111 " + "0" * 5000, "payload type"),
        ("ice-ufrag", "x", "ice-ufrag"),
        ("a=ice-pwd:secret", "a=ice-pwd:a b", "ice-pwd"),
        ("sha-256", "md5", "fingerprint"),
        ("a=fingerprint", "a=x", "fingerprint"),
        ("actpass", "holdconn", "setup"),
    ],
)
def test_a_broken_offer_says_what_is_wrong(sample, old, new, says):
    with pytest.raises(BadRequest, match=says) as raised:
        sdp.parse_offer(sample.text(sample.AUDIO).replace(old, new).encode())
    assert raised.value.detail.startswith("SDP: ")


def test_two_sections_of_one_name_are_refused(sample):
    with pytest.raises(BadRequest, match="SDP: two sections share one mid"):
        sample.offer(sample.AUDIO, sample.AUDIO)


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_else(data):
    with pytest.raises(BadRequest):
        sdp.parse_offer(data)


@pytest.mark.parametrize("number", ["²", "٣", "0", "256", "9" * 5000, "", "-1"])
def test_an_extension_without_a_usable_number_is_left_out(sample, number):
    found = sample.offer([line.replace("extmap:4", f"extmap:{number}") for line in sample.VIDEO])
    assert extensions.MID not in found.sections[0].extensions


def test_the_first_number_of_an_extension_counts_and_its_direction_is_passed_over(sample):
    found = sample.offer([*sample.VIDEO, "a=extmap:9/sendonly uri:x attributes", "a=extmap:8 uri:x"])
    assert found.sections[0].extensions["uri:x"] == 9


@PATIENT
@given(data=st.data())
def test_a_short_mangled_offer_is_refused(sample, cuts, data):
    whole = "v=0\r\nm=audio 9 RTP/SAVPF 0\r\na=mid:0\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
    body = sample.mangled(whole, data.draw(cuts))
    assert isinstance(sample.outcome(lambda: sdp.parse_offer(body)), BadRequest)


@PATIENT
@given(st.text().map(lambda any_text: any_text.encode("utf-8", "surrogatepass")))
def test_any_text_is_refused(data):
    with pytest.raises(BadRequest):
        sdp.parse_offer(data)


def test_each_offer_of_one_browser_keeps_what_is_its_own(sample):
    text = sample.text(sample.AUDIO, sample.VIDEO)
    first = sdp.parse_offer(text.encode())
    other = text.replace("theirs", "another").replace("secret", "hidden").replace(sample.PRINT, sample.PRINT[::-1])
    second = sdp.parse_offer(other.encode())
    assert (first.ufrag, first.password, first.fingerprint.value) == ("theirs", "secret", sample.PRINT)
    assert (second.ufrag, second.password, second.fingerprint.value) == ("another", "hidden", sample.PRINT[::-1])
    assert second.sections is first.sections, "the browser's part was read once"
